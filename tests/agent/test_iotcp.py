"""Packages on the gateway's side: what is built, byte for byte; what is unpacked, and what is refused without a trace."""

import json
import os
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.packages import CHECK_SUMS, FILES, GOOD, HOSTILE, MANIFEST, Member, package

from airfreight.formats import BytesSource, Format, identify
from airfreight_agent import iotcp
from airfreight_agent.iotcp import PackageError, build, command, read, unpack
from airfreight_iotcp.package import Manifest, check
from airfreight_iotcp.unzip import name_key

PHASES = ("verify", "execute", "validate", "activate", "reset")
ACTIONS = {phase: f"{phase}.sh" for phase in PHASES}


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder, with its mode."""
    return {
        path.relative_to(folder).as_posix(): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def written(folder: Path, content: dict[str, bytes] | None = None) -> list[tuple[Path, str]]:
    """The sample's scripts, or other files, as attachments without an install path."""
    for name, data in (FILES if content is None else content).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return [(folder / name, "") for name in (FILES if content is None else content)]


def sample(folder: Path) -> Path:
    path = folder / "disk-metric-service-1.0.3.iotcp"
    build(path, "disk-metric-service", "1.0.3", headless=True, lifecycle=ACTIONS, attachments=written(folder))
    return path


def put(folder: Path, data: bytes) -> Path:
    path = folder / "package.iotcp"
    path.write_bytes(data)
    return path


def by_hand(entries: dict[str, bytes]) -> bytes:
    """The bytes of a package as the documents describe them: deflate, no date, no comment, no extra field."""
    body, listed = b"", b""
    for name, data in entries.items():
        packer = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -15)
        packed = packer.compress(data) + packer.flush()
        told = struct.pack("<HHHHIIIHH", 0, 8, 0, 0, zlib.crc32(data), len(packed), len(data), len(name), 0)
        mode = 0o600 << 16
        listed += b"PK\1\2\x14\x03\x14\0" + told + struct.pack("<HHHII", 0, 0, 0, mode, len(body)) + name.encode()
        body += b"PK\3\4\x14\0" + told + name.encode() + packed
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(entries), len(entries), len(listed), len(body), 0)
    return body + listed + end


def test_a_package_has_these_bytes(tmp_path: Path) -> None:
    manifest = (
        b'{"ACTIVATE":"activate.sh","EXECUTE":"execute.sh","HEADLESS_EXECUTION":true,"NAME":"disk-metric-service",'
        b'"RESET":"reset.sh","VALIDATE":"validate.sh","VERIFY":"verify.sh","VERSION":"1.0.3"}'
    )
    sums = (
        b"dist-info/Manifest: sha256=68e5e02897d77d554b76844bd4bd5a295b40d19b395df24dc1fff5d7674a7b4d\n"
        b"data/verify.sh: sha256=cb388b1fba040fab658343f837be06c18667cae00d2ea511d330c2b50e8f598a\n"
        b"data/execute.sh: sha256=82058d8b1da451b4d749b8dcc33ecc0219821580c67cd0fccdb1c8762692d685\n"
        b"data/validate.sh: sha256=3cc4081acaddcf99220b59db646369b07c4448e3bfea20ef860fa697843d4571\n"
        b"data/activate.sh: sha256=218457bf78b454367e6cea7f4cfd6ed33e91429d08d2b559665d18ac33a743d8\n"
        b"data/reset.sh: sha256=3aa8d2f400f3c404bd14d7fba9676c69c914cc772b5b044a6a2058fa41be491d\n"
    )
    files = {MANIFEST: manifest, **FILES, CHECK_SUMS: sums}
    assert sample(tmp_path).read_bytes() == by_hand(files)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first = sample(tmp_path).read_bytes()
    for path in (tmp_path / "data").iterdir():
        os.utime(path, (0, 0))
        path.chmod(0o755)
    assert sample(tmp_path).read_bytes() == first


def test_optional_keys_are_written_only_when_they_are_set(tmp_path: Path) -> None:
    path = tmp_path / "a.iotcp"
    attachments = [(written(tmp_path)[0][0], "/opt/x/verify.sh")]
    lifecycle = {"verify": "/opt/x/verify.sh"}
    build(
        path,
        "a",
        "1",
        headless=False,
        lifecycle=lifecycle,
        attachments=attachments,
        os_name="linux",
        architecture="arm64",
    )
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / MANIFEST).read_bytes() == (
        b'{"ARCHITECTURE":"arm64","HEADLESS_EXECUTION":false,"INSTALL_PATHS":{"data/verify.sh":"/opt/x/verify.sh"},'
        b'"NAME":"a","OS":"linux","VERIFY":"/opt/x/verify.sh","VERSION":"1"}'
    )


def test_a_package_is_unpacked_with_scripts_that_only_the_owner_may_run(tmp_path: Path) -> None:
    path = tmp_path / "a.iotcp"
    attachments = written(tmp_path, {"verify.sh": b"#!/bin/sh\n", "service": b"\x7fELF"})
    build(path, "a", "1", headless=True, lifecycle={"verify": "verify.sh"}, attachments=attachments)
    manifest = unpack(path, tmp_path / "out")
    assert manifest == Manifest("a", "1", True, {"verify": "verify.sh"})
    modes = {name: mode for name, (mode, _) in tree(tmp_path / "out").items()}
    assert modes == {MANIFEST: 0o600, "data/verify.sh": 0o700, "data/service": 0o600, CHECK_SUMS: 0o600}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_what_a_phase_runs_is_its_script_or_a_program_of_the_gateway(tmp_path: Path) -> None:
    lifecycle = {
        "verify": "verify.sh",
        "execute": "build/execute.sh",
        "activate": "/bin/systemctl",
        "validate": "/opt/v",
    }
    attachments = [*written(tmp_path)[:2], (written(tmp_path)[2][0], "/opt/v")]
    build(tmp_path / "a.iotcp", "a", "1", headless=True, lifecycle=lifecycle, attachments=attachments)
    folder = tmp_path / "out"
    manifest = unpack(tmp_path / "a.iotcp", folder)
    assert {phase: command(manifest, folder, phase) for phase in PHASES} == {
        "verify": folder / "data/verify.sh",
        "execute": folder / "data/execute.sh",
        "validate": folder / "data/validate.sh",
        "activate": Path("/bin/systemctl"),
        "reset": None,
    }
    assert subprocess.run([folder / "data/verify.sh"], capture_output=True, check=True).stdout == b"verify\n"


@pytest.mark.parametrize("name", GOOD)
def test_what_others_may_write_is_unpacked(name: str, tmp_path: Path) -> None:
    unpack(put(tmp_path, GOOD[name]()), tmp_path / "out")
    found = tree(tmp_path / "out")
    assert {name: found[name][1] for name in FILES} == FILES


@pytest.mark.parametrize("name", HOSTILE)
def test_a_package_that_is_not_as_it_must_be_is_refused_without_a_trace(name: str, tmp_path: Path) -> None:
    make, says = HOSTILE[name]
    path = put(tmp_path, make())
    with pytest.raises(PackageError) as refused:
        unpack(path, tmp_path / "out", install_root=tmp_path)
    assert says in str(refused.value)
    assert list(tmp_path.iterdir()) == [path]


def test_server_and_agent_refuse_with_the_same_words() -> None:
    for make, _ in HOSTILE.values():
        data = make()
        assert identify(BytesSource(data)).faults == check(BytesSource(data)).faults


@given(
    edits=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.none() | st.integers(0, 2000),
)
@settings(max_examples=150, deadline=None)
def test_a_broken_package_is_refused_or_unpacked_as_it_says(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]], cut: int | None
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    data = bytearray(package())
    for at, byte in edits:
        data[at % len(data)] = byte
    path = put(folder, bytes(data[:cut]))
    facts = identify(BytesSource(path.read_bytes()))
    try:
        unpack(path, folder / "out")
    except PackageError:
        assert facts.faults or facts.format is not Format.IOTCP
        assert sorted(folder.iterdir()) == [path]
    else:
        assert not facts.faults
        assert {name: data for name, (_, data) in tree(folder / "out").items() if name in FILES} == FILES


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\:"), min_size=1, max_size=20).filter(
    lambda text: text.isprintable() and text not in {".", ".."}
)


@given(
    content=st.lists(st.tuples(NAMES, st.binary(max_size=300)), max_size=4, unique_by=lambda one: name_key(one[0])).map(
        dict
    ),
    name=NAMES.filter(str.strip),
    version=NAMES.filter(str.strip),
    headless=st.booleans(),
    lifecycle=st.dictionaries(st.sampled_from(PHASES), NAMES),
)
@settings(max_examples=100, deadline=None)
def test_what_is_built_is_read_by_the_server_and_unpacked_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    content: dict[str, bytes],
    name: str,
    version: str,
    headless: bool,
    lifecycle: dict[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    path = folder / "package.iotcp"
    attachments = written(folder / "in", content)
    built = build(path, name, version, headless=headless, lifecycle=lifecycle, attachments=attachments)
    facts = identify(BytesSource(path.read_bytes()))
    assert (facts.format, facts.faults, facts.version) == (Format.IOTCP, (), version)
    assert (facts.details["name"], facts.details["headless"], facts.details["phases"]) == (name, headless, lifecycle)
    assert unpack(path, folder / "out") == built == read(path)
    found = tree(folder / "out")
    assert {one: data for one, (_, data) in found.items() if one.startswith("data/")} == {
        f"data/{one}": data for one, data in content.items()
    }


def test_a_file_that_changes_between_check_and_unpacking_is_refused(tmp_path: Path) -> None:
    """The second reading is asked for alone, with the sum that the first one would have found in another file."""
    source = BytesSource(sample(tmp_path).read_bytes())
    entry = check(source).entries[1]
    (tmp_path / "out").mkdir()
    with pytest.raises(PackageError, match="has changed"):
        iotcp._extract(source, entry, tmp_path / "out", 0o700, "0" * 64)


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    (folder / "mine").chmod(0o640)
    with pytest.raises(FileExistsError):
        unpack(sample(tmp_path), folder)
    assert tree(folder) == {"mine": (0o640, b"mine")}


def test_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    with pytest.raises(FileExistsError):
        unpack(sample(tmp_path), tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path: Path, is_there: bool) -> None:
    """A limit on the size of files stands in for the disk; in a process of its own, since it cannot be lifted again."""
    path = put(tmp_path, package(Member("data/blob", os.urandom(200_000))))
    if is_there:
        (tmp_path / "out").mkdir()
    code = (
        "import resource, signal, sys; from pathlib import Path; from airfreight_agent.iotcp import unpack\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "unpack(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert "File too large" in done.stderr
    assert sorted(tmp_path.rglob("*")) == sorted([path, tmp_path / "out"] if is_there else [path])


class TestInstallPaths:
    def test_they_are_honoured_only_when_asked_for(self, tmp_path: Path) -> None:
        path, root = self.made(tmp_path)
        unpack(path, tmp_path / "out")
        assert list(root.iterdir()) == []

    def test_missing_folders_are_made_and_a_file_there_is_replaced(self, tmp_path: Path) -> None:
        path, root = self.made(tmp_path)
        (root / "etc").mkdir()
        (root / "etc/app.conf").write_text("old")
        manifest = unpack(path, tmp_path / "out", install_root=root)
        assert tree(root) == {"etc/app.conf": (0o600, b"new"), "opt/app/verify.sh": (0o700, b"#!/bin/sh\n")}
        assert manifest.install_paths == {"data/app.conf": "/etc/app.conf", "data/verify.sh": "/opt/app/verify.sh"}

    @pytest.mark.parametrize("way", ["opt", "opt/app", "opt/app/verify.sh"])
    def test_a_link_in_the_way_is_not_followed(self, tmp_path: Path, way: str) -> None:
        path, root = self.made(tmp_path)
        (tmp_path / "elsewhere").mkdir()
        (root / way).parent.mkdir(parents=True, exist_ok=True)
        (root / way).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match=r"Not a directory|no file"):
            unpack(path, tmp_path / "out", install_root=root)
        assert list((tmp_path / "elsewhere").iterdir()) == []
        assert not (tmp_path / "out").exists()
        assert tree(root) == {}

    def test_a_folder_in_the_way_of_one_file_leaves_the_others_as_they_were(self, tmp_path: Path) -> None:
        path, root = self.made(tmp_path)
        (root / "opt/app/verify.sh").mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "etc/app.conf").write_text("old")
        (root / "etc/app.conf").chmod(0o640)
        with pytest.raises(FileExistsError):
            unpack(path, tmp_path / "out", install_root=root)
        assert tree(root) == {"etc/app.conf": (0o640, b"old")}

    def test_folders_that_were_made_for_nothing_are_removed(self, tmp_path: Path) -> None:
        path, root = self.made(tmp_path)
        (root / "opt/app/verify.sh").mkdir(parents=True)
        with pytest.raises(FileExistsError):
            unpack(path, tmp_path / "out", install_root=root)
        assert not (root / "etc").exists()

    def made(self, tmp_path: Path) -> tuple[Path, Path]:
        (tmp_path / "root").mkdir()
        attachments = written(tmp_path / "in", {"app.conf": b"new", "verify.sh": b"#!/bin/sh\n"})
        places = ("/etc/app.conf", "/opt/app/verify.sh")
        path = tmp_path / "a.iotcp"
        pairs = [(source, place) for (source, _), place in zip(attachments, places, strict=True)]
        build(path, "a", "1", headless=True, lifecycle={"verify": "/opt/app/verify.sh"}, attachments=pairs)
        return path, tmp_path / "root"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "NAME must be"),
        ({"version": "1\n"}, "VERSION must be"),
        ({"lifecycle": {"install": "a"}}, "is no phase"),
        ({"lifecycle": {"verify": ""}}, "verify has no action"),
        ({"lifecycle": {"verify": "../a"}}, "VERIFY must be a path"),
        ({"install": "opt/a"}, "must be a full path"),
        ({"install": "/opt/../a"}, "must be a full path"),
        ({"twice": True}, "same file name"),
        ({"file": "a\nb"}, "cannot be printed"),
        ({"file": os.fsdecode(b"a\xff")}, "cannot be printed"),
        ({"file": "a\\b"}, "is not relative"),
    ],
)
def test_what_no_reader_would_take_is_not_built(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    given = {"name": "a", "version": "1", "lifecycle": {}, "install": "", "file": "file", "twice": False, **changes}
    source = tmp_path / str(given["file"])
    source.write_bytes(b"")
    path = tmp_path / "a.iotcp"
    path.write_bytes(b"old")
    attachments = [(source, str(given["install"]))] * (2 if given["twice"] else 1)
    with pytest.raises(PackageError, match=says):
        build(path, str(given["name"]), str(given["version"]), headless=True, lifecycle=given["lifecycle"], attachments=attachments)  # type: ignore[arg-type] # fmt: skip
    assert path.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == sorted([path, source])


def test_a_package_that_would_look_like_a_bomb_is_not_built(tmp_path: Path) -> None:
    attachments = written(tmp_path / "in", {"zeros": bytes(20 << 20)})
    with pytest.raises(PackageError, match="more than 100 times"):
        build(tmp_path / "a.iotcp", "a", "1", headless=True, lifecycle={}, attachments=attachments)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_package_of_200_mib_is_built_and_unpacked_in_little_memory(tmp_path: Path) -> None:
    """Measured by the most memory that a process of its own ever has, without what it took over from who started it."""
    block = os.urandom(1 << 20)
    with (tmp_path / "blob").open("wb") as file:
        for _ in range(200):
            file.write(block[:512_000] + bytes(536_576))
    code = (
        "import sys; from pathlib import Path; from airfreight_agent.iotcp import build, unpack\n"
        "def most(): return int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
        "before, folder = most(), Path(sys.argv[1])\n"
        "build(folder / 'a.iotcp', 'a', '1', headless=True, lifecycle={}, attachments=[(folder / 'blob', '')])\n"
        "unpack(folder / 'a.iotcp', folder / 'out')\n"
        "print(most() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8 << 10, "KiB more than before"
    assert (tmp_path / "out/data/blob").stat().st_size == 200 << 20


SPEC = {
    "package": {
        "name": "disk-metric-service",
        "version": "1.0.3",
        "description": "Installs a service",
        "manifest": {
            "headlessExecution": True,
            "lifecycle": [{"phase": phase, "action": f"data/{phase}.sh"} for phase in PHASES],
        },
        "attachments": [{"path": name} for name in FILES],
    }
}
SPEC_TOML = (
    """\
[package]
name = "disk-metric-service"
version = "1.0.3"
[package.manifest]
headlessExecution = true
"""
    + "".join(f"[[package.manifest.lifecycle]]\nphase = '{phase}'\naction = 'data/{phase}.sh'\n" for phase in PHASES)
    + "".join(f"[[package.attachments]]\npath = '{name}'\n" for name in FILES)
)


class TestCommand:
    def run(self, folder: Path, *arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "airfreight_agent.main", "package", "create", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    @pytest.mark.parametrize(("name", "text"), [("spec.json", json.dumps(SPEC)), ("spec.toml", SPEC_TOML)])
    def test_it_makes_the_sample_of_a_specification(self, tmp_path: Path, name: str, text: str) -> None:
        golden = sample(tmp_path).read_bytes()
        (tmp_path / name).write_text(text)
        (tmp_path / "elsewhere").mkdir()
        assert self.run(tmp_path / "elsewhere", f"../{name}") == (0, "disk-metric-service-1.0.3.iotcp\n", "")
        assert (tmp_path / "elsewhere/disk-metric-service-1.0.3.iotcp").read_bytes() == golden

    def test_the_file_can_be_named_and_an_action_that_is_no_attachment_is_a_warning(self, tmp_path: Path) -> None:
        lifecycle = [{"phase": "activate", "action": "/sbin/reboot"}]
        spec = {"package": {"name": "a/b", "version": "1", "manifest": {"lifecycle": lifecycle}}}
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        code, said, warned = self.run(tmp_path, "spec.json", "-o", "x.iotcp")
        assert (code, said) == (0, "x.iotcp\n")
        assert "the action of activate is no attachment" in warned
        assert read(tmp_path / "x.iotcp") == Manifest("a/b", "1", False, {"activate": "/sbin/reboot"})

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "cannot be read"),
            ("[]", "is not a table"),
            ("[" * 100_000, "cannot be read"),
            ('{"package": []}', "package must be a table"),
            ('{"pakage": {}}', "'pakage' is no field"),
            ('{"package": {"name": "a"}}', "version must be a text"),
            ('{"package": {"name": "a", "version": 1.0}}', "version must be a text"),
            ('{"package": {"name": "a/b", "version": "1"}}', "say one with -o"),
            ('{"package": {"name": "a", "version": "1", "os": 1}}', "os must be a text"),
            ('{"package": {"name": "a", "version": "1", "manifest": {"headlessExecution": "yes"}}}', "true or false"),
            ('{"package": {"name": "a", "version": "1", "manifest": {"lifecycle": {}}}}', "must be a list"),
            (
                '{"package": {"name": "a", "version": "1", "manifest": {"lifecycle": [{"phase": "verify"}]}}}',
                "action must",
            ),
            ('{"package": {"name": "a", "version": "1", "attachments": [{"path": "no"}]}}', "No such file"),
            ('{"package": {"name": "a", "version": "1", "attachments": [{"path": "/"}]}}', "1 to|is that of a folder"),
            ('{"package": {"name": "a", "version": "1", "attachments": [{"file": "no"}]}}', "'file' is no field"),
        ],
    )
    def test_a_wrong_specification_is_explained(self, tmp_path: Path, text: str, says: str) -> None:
        (tmp_path / "spec.json").write_text(text)
        code, said, explained = self.run(tmp_path, "spec.json")
        assert (code, said) == (2, "")
        assert any(one in explained for one in says.split("|"))
        assert "Traceback" not in explained
        assert [path.name for path in tmp_path.iterdir()] == ["spec.json"]

    def test_a_phase_twice_is_refused(self, tmp_path: Path) -> None:
        lifecycle = [{"phase": "verify", "action": action} for action in "ab"]
        spec = {"package": {"name": "a", "version": "1", "manifest": {"lifecycle": lifecycle}}}
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        assert "listed twice" in self.run(tmp_path, "spec.json")[2]

    def test_yaml_is_sent_back_with_a_word(self, tmp_path: Path) -> None:
        (tmp_path / "spec.yml").write_text("package: {}")
        code, _, explained = self.run(tmp_path, "spec.yml")
        assert (code, ".toml or a .json" in explained) == (2, True)
