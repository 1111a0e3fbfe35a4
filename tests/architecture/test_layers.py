"""The shape of the code: imports, words, sizes, permissions."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
CORE = SRC / "airfreight"
FILES = sorted(SRC.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 500, 60
ALL_TABLES = "airfreight/store/tables.py"
"""They stand on one page, however long."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def named(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def test_imports_point_inward() -> None:
    """The contracts are in pyproject.toml."""
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program, "import-linter is a development dependency"
    # neither colours nor a narrow terminal of whoever runs the tests
    plain = {"PATH": os.environ["PATH"], "COLUMNS": "200"}
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, env=plain, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    kept = re.search(r"Contracts: (\d+) kept, 0 broken", done.stdout)
    assert kept, done.stdout[-500:]
    assert int(kept[1]) >= 5


def test_no_file_is_too_long() -> None:
    lengths = {named(path): len(path.read_text().splitlines()) for path in FILES}
    assert [name for name, n in lengths.items() if n > LONGEST_FILE and name != ALL_TABLES] == []


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield node


def test_no_function_is_too_long() -> None:
    """A migration is a list of what it makes; it has no parts."""
    long = [
        f"{named(path)}:{one.lineno} {one.name}: {length}"
        for path in FILES
        if "migrations" not in path.parts
        for one in functions(path)
        if (length := (one.end_lineno or 0) - one.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


VENDOR_WORDS = {"shipment", "campaign", "gateway", "controller", "target", "firmware", "program", "distribution"}
AT_HOME = ("airfreight/apis/", "airfreight/cli/", "airfreight_agent/")
"""The doors speak their vendors' words; commands speak to people who know them; the agent is not the server."""
EXCEPTIONS = {
    ("airfreight/app.py", "shipments"): "the composition root names the door it hangs in",
    ("airfreight/app.py", "campaigns"): "the same",
    ("airfreight/app.py", "CAMPAIGNS"): "the same",
}


def identifiers(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name.rpartition(".")[2]
            case ast.ImportFrom(module=str(module)):
                yield from module.split(".")


def words(identifier: str) -> set[str]:
    """The words in it, without a plural's s."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)
    return {part.lower().removesuffix("s") for part in parts}


def test_the_words_of_vendors_stay_at_their_doors() -> None:
    found = {
        (named(path), identifier)
        for path in FILES
        if not named(path).startswith(AT_HOME)
        for identifier in identifiers(path)
        if words(identifier) & VENDOR_WORDS
    }
    assert sorted(found - EXCEPTIONS.keys()) == []
    assert EXCEPTIONS.keys() <= found, "an exception that nobody needs any more"


@pytest.mark.parametrize("identifier", ["target", "target_ids", "Targets", "newTargets", "FIRMWARE_INFO", "isShipment"])
def test_the_search_for_words_finds_them(identifier: str) -> None:
    assert words(identifier) & VENDOR_WORDS


NO_PERMISSION: dict[str, str] = {
    "services/artifacts.py:by_path": "asks through need(OTA_START) in its first line",
    "services/me.py:describe": "whoever has a token may know whose it is",
    "services/me.py:user": "the user whose token it is",
    "services/organizations.py:own": "whoever has a token may know whose it is",
    "services/users.py:check_role": "a question of roles, for verbs that have asked",
    "services/devices.py:add": "for callers who have asked already: create, create_many, enroll",
    "services/devices.py:is_online": "looks at a row that its caller was allowed to read",
    "services/devices.py:updated_at": "looks at a device that its caller was allowed to read or to change",
    "services/products.py:id_of_key": "a bare number, for a verb that asks",
    "services/deliveries.py:enlist": "part of devices.add",
    "services/deliveries.py:rows_of": "part of consent and of explanations.explain, which ask",
    "services/deliveries.py:release": "part of devices.delete",
    "services/deliveries.py:give_way": "part of single_updates.upload and group_updates.upload",
    "services/deliveries.py:close_all": "part of rollouts.delete",
    "services/rollout_steps.py:chosen": "part of the verbs there and in services.members",
    "services/rollout_steps.py:find": "part of the verbs there and in services.members",
    "services/rollout_steps.py:locked": "part of the verbs there and in services.members",
    "services/enrollment.py:enroll": "the enrollment key is the permission",
}


def takes_call(function: Function) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return any(isinstance(one.annotation, ast.Name) and one.annotation.id == "Call" for one in arguments)


def asks(function: Function, verbs: set[str]) -> bool:
    """Whether it calls `call.need(...)`, or hands its call to a verb of the same module that does."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr == "need":
            return True
        if isinstance(node.func, ast.Name) and node.func.id in verbs:
            return True
    return False


def test_every_verb_asks_for_a_permission() -> None:
    silent: list[str] = []
    seen = 0
    for path in sorted((CORE / "services").glob("*.py")):
        verbs = [one for one in tree(path).body if isinstance(one, Function) and takes_call(one)]
        public = [one for one in verbs if not one.name.startswith("_")]
        seen += len(public)
        asking: set[str] = set()
        while more := {one.name for one in verbs if one.name not in asking and asks(one, asking)}:
            asking |= more
        silent += [f"services/{path.name}:{one.name}" for one in public if one.name not in asking]
    assert seen > 40
    assert sorted(set(silent) - NO_PERMISSION.keys()) == []


def test_every_route_of_people_goes_through_the_desk() -> None:
    """`desk.read` and `desk.write` are where a token becomes a caller; tokens and invitations are used without one.

    A door's own `reading` and `writing` are these with its header for the organization; routes that are alike share
    a function that uses them.
    """
    desk = (
        r"desk\.(read|write)\(|uploads\.check|(reading|writing)\(desk, request\)|"
        r"_(schedule|register|settled)\(request, desk,|_grasp, request, desk,"
    )
    open_routes = []
    for path in sorted((CORE / "apis").rglob("*.py")):
        for one in functions(path):
            decorators = {
                d.func.id for d in one.decorator_list if isinstance(d, ast.Call) and isinstance(d.func, ast.Name)
            }
            if decorators & {"get", "head", "post", "put", "patch", "delete"}:
                body = ast.unparse(one)
                if not re.search(desk, body):
                    open_routes.append(f"{named(path)}:{one.name}")
    assert open_routes == [
        "airfreight/apis/campaigns/routes_tokens.py:get_tokens",
        "airfreight/apis/campaigns/routes_tokens.py:refresh_tokens",
        "airfreight/apis/campaigns/routes_tokens.py:get_versions",
        "airfreight/apis/device_ota/sign_in.py:sign_in",
        "airfreight/apis/platform/oauth.py:create_token",
        "airfreight/apis/platform/users.py:accept_invite",
        "airfreight/apis/shipments/platform/users.py:accept_user_invite",
    ]


def test_only_one_module_writes_deliveries() -> None:
    writers = [
        named(path)
        for path in FILES
        if re.search(r"(insert|update|delete)\(\s*(tables\.)?deliveries\b", path.read_text())
        and "migrations" not in path.parts
    ]
    assert writers == ["airfreight/store/deliveries.py"]


def test_nobody_below_the_doors_reads_a_clock() -> None:
    """A call carries its moment; time.monotonic measures, it does not tell the time."""
    readers = [
        f"{named(path)}: {node.attr}"
        for folder in ("domain", "formats", "store", "services")
        for path in sorted((CORE / folder).rglob("*.py"))
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr in {"time", "time_ns", "now", "utcnow", "today"}
        and isinstance(node.value, ast.Name)
        and node.value.id in {"time", "datetime", "date"}
    ]
    assert readers == []
