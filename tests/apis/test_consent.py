"""`POST /api/v1/devices/{id}/consent` on the wire."""

from tests.apis.shipments.test_bad_input import refusal
from tests.apis.site import Site


def test_the_answer_names_the_delivery_that_goes_now(site: Site) -> None:
    product = site.product(auto_update=False)
    [board] = site.devices(product)
    rollout = site.ship(site.artifact(), product, [board])
    address = f"/api/v1/devices/{board.id}"
    assert site.as_device(board).get("/device/v1/next").status_code == 204
    explained = site.ask("GET", f"{address}/explain").json()
    assert "Waits: automatic updates are off for this device" in explained["summary"]
    answer = site.ask("POST", f"{address}/consent")
    assert (answer.status_code, answer.json()) == (200, {"deliveryId": site.delivery(rollout, board).id})
    assert site.as_device(board).get("/device/v1/next").json()["do"] == "download"


def test_every_refusal_has_its_status_and_code(site: Site) -> None:
    [board] = site.devices(site.product_id)
    for device, who, status, code in (
        (board.id, "client", 409, "nothing_waits"),
        (999_999, "client", 404, "not_found"),
        (board.id, "user", 403, "forbidden"),
        (board.id, None, 401, "unauthenticated"),
        ("x", "client", 404, "not_found"),
    ):
        answer = site.ask("POST", f"/api/v1/devices/{device}/consent", who)
        refusal(answer, status)
        assert answer.headers["x-error-code"] == code
    answer = site.ask("GET", f"/api/v1/devices/{board.id}/consent")
    refusal(answer, 405)
    assert "POST" in answer.headers["allow"]
