"""One walk through everything, and what every address has in common."""

import hashlib

import pytest
from tests.apis.site import Site
from tests.make import image


def test_an_update_from_the_upload_to_the_finished_shipment(site: Site) -> None:
    content = image("2.0.0", "Jan  9 2024 12:25:30", "TMPL1")
    form = {"type": "FIRMWARE"}
    uploaded = site.ask("POST", "/api/upload", data=form, files={"upfile": ("fw.bin", content)}).json()
    [board] = site.devices(site.product_id)
    body = {
        "title": "t",
        "productId": site.product_id,
        "pathToFirmware": uploaded["path"],
        "firmwareOriginalFileName": "fw.bin",
        "firmwareInfo": uploaded["firmwareInfo"],
        "deviceIds": [board.id],
    }
    created = site.ask("POST", "/api/v1/organization/shipment/create", json=body)
    assert created.status_code == 201, created.text
    device = site.as_device(board)
    assert device.get("/device/v1/next").status_code == 204
    told = {"version": "1.0.0", "build": "Jan  8 2024 12:25:30", "fwType": "TMPL1"}
    assert device.put("/device/v1/attributes", json=told).json() == {"attributes": told}
    instruction = device.get("/device/v1/next?wait=5").json()
    assert instruction["do"] == "download"
    [file] = instruction["artifacts"]
    answer = device.get(file["url"])
    assert hashlib.sha256(answer.content).hexdigest() == file["sha256"] == hashlib.sha256(content).hexdigest()
    events = [
        {"attempt": instruction["attempt"], "seq": n, "event": e} for n, e in enumerate(["installed", "activating"], 1)
    ]
    verdicts = device.post("/device/v1/reports", json={"reports": events}).json()
    assert [result["verdict"] for result in verdicts["results"]] == ["moved", "moved"]
    device.put("/device/v1/attributes", json={"version": "2.0.0", "build": "Jan 09 2024 12:25:30"})
    shown = site.get(created.json()["id"])
    assert shown["status"] == "FINISH"
    assert shown["shipmentProgress"]["success"] == 1
    assert device.get("/device/v1/next").status_code == 204


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"])
def test_pages_for_everybody(site: Site, path: str) -> None:
    assert site.ask("GET", path, None).status_code == 200
    head = site.ask("HEAD", path, None)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
