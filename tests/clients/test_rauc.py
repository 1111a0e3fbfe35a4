"""Linux devices with rauc-hawkbit-updater go all the way, downloading or streaming; failures and cancels on it."""

import pytest
from tests.clients.place import BUNDLE, Place, seen_by
from tests.clients.rauc import BLOCK, STEPS, Rauc, State, with_client
from tests.clients.zephyr import ClientError
from tests.make import Board, Stored


@pytest.fixture
def board(place: Place) -> Board:
    return place.board()


@pytest.fixture
def bundle(place: Place) -> Stored:
    return place.artifact("", content=BUNDLE)


@pytest.fixture
def client(place: Place, board: Board) -> Rauc:
    return with_client(place.server.url, board)


# the whole way


def test_a_bundle_is_downloaded_and_installed_with_a_word_at_every_step(
    place: Place, board: Board, bundle: Stored, client: Rauc
) -> None:
    shipped = place.shipped(bundle, board)
    client.poll()
    assert client.finish() is State.SUCCESS
    assert client.running == BUNDLE
    assert len(client.told) == 2 + len(STEPS) + 1
    assert client.told[-1][:2] == ("closed", "success")
    assert place.stand(shipped, board) == ("succeeded", "")

    client.reboot()
    client.poll()
    assert client.finish() is State.NONE
    assert client.count("GET", "/artifacts/") == 1
    details = [row.message for row in place.history(shipped, board)]
    assert any("Verifying signature done." in words for words in details)


def test_a_bundle_is_installed_while_it_is_streamed(place: Place, board: Board, bundle: Stored) -> None:
    shipped = place.shipped(bundle, board)
    client = with_client(place.server.url, board, streams=True)
    client.poll()
    assert client.finish() is State.SUCCESS
    assert client.running == BUNDLE
    statuses = [status for _, path, status in client.asked if "/artifacts/" in path]
    assert statuses == [206] * -(-len(BUNDLE) // BLOCK) + [416]
    assert place.stand(shipped, board) == ("succeeded", "")


def test_two_rollouts_after_one_another_have_ids_of_their_own(place: Place, board: Board, client: Rauc) -> None:
    seen = []
    for content in (b"one" * 70_000, b"two" * 90_000):
        shipped = place.shipped(place.artifact("", content=content), board)
        client.poll()
        client.finish()
        assert place.stand(shipped, board) == ("succeeded", "")
        assert client.running == content
        seen.append(client.action)
        client.reboot()
    assert len(set(seen)) == 2


def test_a_running_version_that_is_told_is_the_proof(place: Place, board: Board) -> None:
    client = with_client(place.server.url, board, attributes={"version": "1.0.0"})
    client.poll()
    artifact = place.artifact("2.0.0")
    shipped = place.shipped(artifact, board)
    client.poll()
    assert client.finish() is State.SUCCESS
    assert place.stand(shipped, board)[0] == "activating"

    client.reboot()
    client.attributes["version"] = "2.0.0"
    client.poll()
    assert client.finish() is State.NONE
    assert place.stand(shipped, board) == ("succeeded", "")


def test_a_device_that_boots_its_old_slot_again_is_not_updated(place: Place, board: Board) -> None:
    """Nor has it failed yet: it may be restarted later. The deadline ends it."""
    client = with_client(place.server.url, board, attributes={"version": "1.0.0"})
    client.poll()
    shipped = place.shipped(place.artifact("2.0.0"), board)
    client.poll()
    client.reboot()
    client.poll()
    assert client.finish() is State.NONE
    assert place.stand(shipped, board) == ("activating", "")


def test_a_version_that_is_told_after_the_offer_is_what_it_ran_before(place: Place, board: Board) -> None:
    """What a new device finds at its first poll was offered before it could say anything."""
    shipped = place.shipped(place.artifact("2.0.0"), board)
    client = with_client(place.server.url, board, attributes={"version": "1.0.0"})
    client.poll()
    assert client.finish() is State.SUCCESS
    client.reboot()
    client.poll()
    assert place.delivery(shipped, board).from_version == "1.0.0"
    assert place.stand(shipped, board) == ("activating", "")


def test_another_version_than_both_is_a_failure_at_once(place: Place, board: Board) -> None:
    client = with_client(place.server.url, board, attributes={"version": "1.0.0"})
    client.poll()
    shipped = place.shipped(place.artifact("2.0.0"), board)
    client.poll()
    client.reboot()
    client.attributes["version"] = "3.0.0"
    client.poll()
    assert place.stand(shipped, board) == ("failed", "wrong_version")


def test_a_device_that_is_restarted_later_is_not_judged_before(place: Place, board: Board) -> None:
    """It says success when its other slot is written, and polls on in the old one until somebody restarts it."""
    client = with_client(place.server.url, board, attributes={"version": "1.0.0"})
    client.poll()
    shipped = place.shipped(place.artifact("2.0.0"), board)
    client.poll()
    assert client.finish() is State.SUCCESS
    for _ in range(3):
        client.poll()
    assert place.stand(shipped, board) == ("activating", "")
    assert client.count("PUT", "configData") == 2, "asked again, but not at each poll"
    client.reboot()
    client.attributes["version"] = "2.0.0"
    place.was_told_a_while_ago(board)
    client.poll()
    assert place.stand(shipped, board) == ("succeeded", "")


def test_a_cancel_that_comes_after_the_installation_needs_no_answer(place: Place, board: Board) -> None:
    """It gives none until it has restarted, and then its version says that there is nothing to cancel."""
    client = with_client(place.server.url, board, attributes={"version": "1.0.0"})
    client.poll()
    shipped = place.shipped(place.artifact("2.0.0"), board)
    client.poll()
    assert client.finish() is State.SUCCESS
    place.cancel(shipped)
    client.reboot()
    client.attributes["version"] = "2.0.0"
    client.poll()
    client.poll()
    assert client.count("GET", "cancelAction") == 0
    assert place.stand(shipped, board) == ("succeeded", "")


def test_nothing_comes_before_somebody_has_confirmed_it(place: Place, board: Board, bundle: Stored) -> None:
    """It knows nothing of confirmations: its operator gives them."""
    place.steer(confirmation=True)
    shipped = place.shipped(bundle, board)
    client = with_client(place.server.url, board)
    for _ in range(2):
        client.poll()
        assert client.finish() is State.NONE
    assert client.told == []
    answer = place.ask("POST", f"/api/v1/devices/{board.id}/consent")
    assert answer.is_success, answer.text
    client.poll()
    assert client.finish() is State.SUCCESS
    assert place.stand(shipped, board) == ("succeeded", "")


def test_a_download_that_breaks_off_goes_on_where_it_was(
    place: Place, board: Board, bundle: Stored, client: Rauc
) -> None:
    shipped = place.shipped(bundle, board)
    client.breaks_at = [50_000, 200_000]
    client.poll()
    assert client.finish() is State.SUCCESS
    assert [status for _, path, status in client.asked if "/artifacts/" in path] == [200, 206, 206]
    assert client.running == BUNDLE
    assert place.stand(shipped, board) == ("succeeded", "")


def test_it_can_poll_while_it_downloads(place: Place, board: Board, bundle: Stored, client: Rauc) -> None:
    shipped = place.shipped(bundle, board)
    client.holds = True
    client.poll()
    client.wait_for_bytes()
    assert [client.poll() for _ in range(5)] == [5] * 5
    client.let_go()
    assert client.finish() is State.SUCCESS
    assert place.stand(shipped, board) == ("succeeded", "")
    assert len(place.attempts(board)) == 1


# failures


def test_a_bundle_that_cannot_be_installed_fails_with_what_was_said(
    place: Place, board: Board, bundle: Stored, client: Rauc
) -> None:
    shipped = place.shipped(bundle, board, attemptsLimit=1)
    client.bundle_works = False
    client.poll()
    assert client.finish() is State.ERROR
    assert place.stand(shipped, board) == ("failed", "device_error")
    said = [row.message for row in place.history(shipped, board)]
    assert said[-1] == "Failed to install software bundle."
    assert any('<"bad" & worse>' in words for words in said), "text is text, whatever is in it"
    client.reboot()
    client.poll()
    assert client.count("GET", "/artifacts/") == 1


def test_a_try_that_failed_is_offered_again_under_another_id(
    place: Place, board: Board, bundle: Stored, client: Rauc
) -> None:
    shipped = place.shipped(bundle, board, attemptsLimit=2)
    client.bundle_works = False
    client.poll()
    client.finish()
    first = client.action
    client.bundle_works = True
    client.poll()
    assert client.finish() is State.SUCCESS
    assert client.action != first
    assert place.stand(shipped, board) == ("succeeded", "")


def test_what_is_of_several_parts_is_refused_by_the_device_itself(place: Place, board: Board, client: Rauc) -> None:
    several = [place.artifact("", content=content) for content in (b"a" * 3000, b"b" * 3000)]
    rollout = place.rollout(several, board)
    for _ in range(4):
        client.poll()
    assert place.stand(rollout, board)[0] == "failed"
    assert {one[:2] for one in client.told} == {("closed", "failure")}


def test_a_wrong_token_is_told_so(place: Place, board: Board) -> None:
    for token in ("", "wrong", board.token[:-1]):
        with pytest.raises(ClientError, match="401"):
            Rauc(place.server.url, board.uid, token).poll()


# cancel


def test_five_canceled_ones_cost_no_poll_before_the_sixth(place: Place, board: Board, client: Rauc) -> None:
    """A client that answers one action in each poll would need five polls to come to what it is for."""
    client.poll()
    canceled = []
    for number in range(5):
        canceled.append(place.shipped(place.artifact("", content=bytes([number]) * 3000), board))
        place.http(None).get(client._api(), headers={"Authorization": f"TargetToken {board.token}"})
        place.cancel(canceled[-1])
    shipped = place.shipped(place.artifact("", content=b"sixth" * 600), board)
    client.poll()
    assert client.finish() is State.SUCCESS
    assert {place.stand(one, board)[0] for one in canceled} == {"canceled"}
    assert client.count("GET", "cancelAction") == 0
    assert place.stand(shipped, board) == ("succeeded", "")


def test_a_download_is_given_up_when_it_is_canceled(place: Place, board: Board, bundle: Stored, client: Rauc) -> None:
    shipped = place.shipped(bundle, board)
    client.holds = True
    client.poll()
    client.wait_for_bytes()
    place.cancel(shipped)
    client.poll()
    assert client.finish() is State.CANCELED
    assert client.told[-1] == ("closed", "success", "Action canceled.")
    assert place.stand(shipped, board)[0] == "canceled"
    client.poll()
    assert client.count("GET", "cancelAction") == 1
    assert client.running != BUNDLE


def test_an_installation_that_has_begun_goes_on_to_its_end(place: Place, board: Board, bundle: Stored) -> None:
    shipped = place.shipped(bundle, board)
    client = with_client(place.server.url, board, streams=True)

    def between(number: int) -> None:
        if number == 2:
            place.cancel(shipped)
            client.poll()

    client.between = between
    client.poll()
    assert ("rejected", "success", "Cancelation impossible, installation started already.") in client.told
    assert client.finish() is State.SUCCESS
    assert place.stand(shipped, board) == ("succeeded", "")
    client.poll()
    assert client.count("GET", "cancelAction") == 1


def test_what_a_reboot_made_it_forget_it_lets_go(place: Place, board: Board, bundle: Stored, client: Rauc) -> None:
    shipped = place.shipped(bundle, board)
    seen_by(place, board)
    place.cancel(shipped)
    client.poll()
    assert client.told == [("closed", "success", "Action canceled.")]
    assert place.stand(shipped, board)[0] == "canceled"


def test_a_newer_rollout_takes_the_place_of_one_that_was_not_looked_at(place: Place, board: Board) -> None:
    client = with_client(place.server.url, board)
    older = place.shipped(place.artifact("", content=b"older" * 600), board)
    place.http(None).get(client._api(), headers={"Authorization": f"TargetToken {board.token}"})
    newer = place.shipped(place.artifact("", content=b"newer" * 600), board)
    for _ in range(3):
        client.poll()
        client.finish()
    assert client.running == b"newer" * 600 or place.stand(older, board)[0] == "succeeded"
    assert place.stand(newer, board) == ("succeeded", "")
