"""What `airfreight-agent` says to whoever sets it up: mistakes are named, and none of them ends the service for good."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.agent.faulty_server import TOKEN, Plane, serving
from tests.agent.gateway import PATIENCE, eventually
from tests.agent.server import Operator
from tests.agent.test_command import AGENT

BUSY = 4


def agent(*arguments: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFREIGHT_")}
    done = subprocess.run(
        [*AGENT, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def enroll(operator: Operator, folder: Path, uid: str, product: object, *more: str) -> tuple[int, str]:
    who = ("--server", operator.url, "--folder", str(folder), "--uid", uid, "--product", str(product))
    return agent("enroll", *who, "--key", operator.enrollment_key(), *more)


def a_uid() -> str:
    return f"roof-{os.urandom(4).hex()}"


def test_what_the_server_has_against_an_enrolment_is_repeated(operator: Operator, tmp_path: Path) -> None:
    product = operator.product()
    for uid, name, more, code, words in (
        (a_uid(), "Nowhere", (), 2, "Product is not found"),
        ("a uid", product, (), 2, "A uid is 1 to 64"),
        (a_uid(), product, ("--parent", "nobody"), 2, "Parent is not found"),
        (a_uid(), product, ("--key", "wrong"), 3, "The enrollment key is unknown"),
    ):
        told = enroll(operator, tmp_path / "agent", uid, name, *more)
        assert told[0] == code, told
        assert words in told[1]


def test_a_folder_that_belongs_to_another_is_not_told_as_enrolled(operator: Operator, tmp_path: Path) -> None:
    product, uid = operator.product(), a_uid()
    assert enroll(operator, tmp_path / "agent", uid, product)[0] == 0
    code, said = enroll(operator, tmp_path / "agent", a_uid(), product)
    assert (code, f"belongs to {uid}" in said) == (2, True)
    code, said = enroll(operator, tmp_path / "agent", uid, product)
    assert (code, "was enrolled before" in said) == (0, True)


def test_a_slash_at_the_end_of_an_address_is_no_other_server(operator: Operator, tmp_path: Path) -> None:
    product, uid = operator.product(), a_uid()
    assert enroll(operator, tmp_path / "agent", uid, product)[0] == 0
    assert enroll(operator, tmp_path / "agent", uid, product, "--server", f"{operator.url}/")[0] == 0
    run = agent("run", "--folder", str(tmp_path / "agent"), "--once", "--server", f"{operator.url}/")
    assert run[0] == 0, run[1]


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "ftp://server", "http://", "http://a b", "http://a:x"])
@pytest.mark.parametrize("command", ["enroll", "run"])
def test_an_address_that_is_none_is_wrong_use(tmp_path: Path, address: str, command: str) -> None:
    """And not a server that cannot be reached, which is waited for."""
    options = ("--uid", "a", "--product", "b", "--key", "c") if command == "enroll" else ("--token", "t")
    code, said = agent(command, "--server", address, "--folder", str(tmp_path), *options)
    assert (code, "http:// or https://" in said) == (2, True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--settle", "-1"),
        ("--settle", "nan"),
        ("--settle", "inf"),
        ("--wait", "-1"),
        ("--wait", "61"),
        ("--script-timeout", "0"),
        ("--script-timeout", "-5"),
        ("--script-timeout", "nan"),
        ("--install-timeout", "nan"),
    ],
)
def test_a_number_that_is_none_is_refused_before_anything_is_done(tmp_path: Path, option: str, value: str) -> None:
    code, said = agent("run", "--server", "http://127.0.0.1:1", "--folder", str(tmp_path / "new"), option, value)
    assert (code, option in said) == (2, True)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_used_is_said_and_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    here = ("--server", "http://127.0.0.1:1", "--folder", str(tmp_path / "file" / "agent"))
    for arguments in (
        ("run", *here, "--token", "t", "--once"),
        ("enroll", *here, "--uid", "a", "--product", "b", "--key", "c"),
    ):
        code, said = agent(*arguments)
        assert (code, "Not a directory" in said, "file/agent" in said) == (BUSY, True, True)


def test_a_service_that_finds_another_agent_at_work_may_be_started_again(tmp_path: Path) -> None:
    """The unit does not start again after wrong use; and the other one may be somebody who looks in for a minute."""
    with serving(Plane(is_open=False)) as plane:
        here = ("--server", plane.url, "--folder", str(tmp_path / "agent"))
        with subprocess.Popen([*AGENT, "run", *here, "--token", TOKEN], stderr=subprocess.DEVNULL) as other:
            eventually((tmp_path / "agent" / "files").exists)
            code, said = agent("run", *here, "--token", TOKEN)
            other.kill()
    assert (code, "another agent works in" in said) == (BUSY, True)
    unit = (Path(__file__).parents[2] / "deploy" / "systemd" / "airfreight-agent.service").read_text()
    assert "RestartPreventExitStatus=2\n" in unit
