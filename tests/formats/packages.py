"""Makes IoTCP packages, good ones and hostile ones, each field of the ZIP as a test wants it. Knows no code of ours."""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

MANIFEST = "dist-info/Manifest"
CHECK_SUMS = "dist-info/CHECK_SUMS"
FULL = 0xFFFFFFFF

TOLD: dict[str, object] = {
    "ACTIVATE": "activate.sh",
    "EXECUTE": "execute.sh",
    "HEADLESS_EXECUTION": True,
    "NAME": "disk-metric-service",
    "RESET": "reset.sh",
    "VALIDATE": "validate.sh",
    "VERIFY": "verify.sh",
    "VERSION": "1.0.3",
}
FILES = {
    f"data/{phase}.sh": f"#!/bin/sh\necho {phase}\n".encode()
    for phase in ("verify", "execute", "validate", "activate", "reset")
}


@dataclass(frozen=True)
class Member:
    """One entry. `listed` and `local` replace fields of its two heads, `after` follows its packed bytes."""

    name: str | bytes
    data: bytes = b"content"
    method: int = 8
    flags: int = 0
    attributes: int = 0
    packed: bytes | None = None
    listed: Mapping[str, object] = field(default_factory=dict)
    local: Mapping[str, object] = field(default_factory=dict)
    after: bytes = b""

    def fields(self, changes: Mapping[str, object], offset: int) -> dict[str, object]:
        name = self.name if isinstance(self.name, bytes) else self.name.encode()
        made: dict[str, object] = {
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.data),
            "name": name,
        }
        made |= {"packed": len(self.content), "size": len(self.data), "extra": b"", "offset": offset, "disk": 0}
        return made | {"attributes": self.attributes, "comment": b"", **changes}

    @property
    def content(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.data) if self.method == 8 else self.data


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def local_head(told: Mapping[str, object]) -> bytes:
    head = struct.pack(
        "<4s5H3I2H", b"PK\3\4", 20, told["flags"], told["method"], 0, 0,
        told["crc"], told["packed"], told["size"], len(told["name"]), len(told["extra"]),  # type: ignore[arg-type]
    )  # fmt: skip
    return head + told["name"] + told["extra"]  # type: ignore[operator]


def list_head(told: Mapping[str, object]) -> bytes:
    head = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 20, 20, told["flags"], told["method"], 0, 0, told["crc"], told["packed"], told["size"],
        len(told["name"]), len(told["extra"]), len(told["comment"]), told["disk"], 0,  # type: ignore[arg-type]
        told["attributes"], told["offset"],
    )  # fmt: skip
    return head + told["name"] + told["extra"] + told["comment"]  # type: ignore[operator]


def zip_of(
    members: Sequence[Member],
    *,
    end: Mapping[str, object] | None = None,
    before: bytes = b"",
    before_list: bytes = b"",
    before_end: bytes = b"",
) -> bytes:
    """`end` replaces fields of the end record; the others are bytes that are put where nothing belongs."""
    body, listed = before, b""
    for member in members:
        listed += list_head(member.fields(member.listed, len(body)))
        body += local_head(member.fields(member.local, len(body))) + member.content + member.after
    body += before_list
    told: dict[str, object] = {
        "disk": 0,
        "start": 0,
        "here": len(members),
        "count": len(members),
        "size": len(listed),
        "offset": len(body),
    }
    told |= {"comment": 0, **(end or {})}
    return body + listed + before_end + struct.pack("<4s4H2IH", b"PK\5\6", *told.values())


def sums_of(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{name}: sha256={hashlib.sha256(data).hexdigest()}\n" for name, data in files.items()).encode()


def compact(told: object) -> bytes:
    return json.dumps(told, separators=(",", ":"), sort_keys=True).encode()


def package(
    *more: Member,
    told: object = TOLD,
    manifest: bytes | None = None,
    sums: Callable[[bytes], bytes] = bytes,
    **ends: object,
) -> bytes:
    """A good package, with more members; `sums` changes the good list of check sums."""
    document = compact(told) if manifest is None else manifest
    files = {MANIFEST: document, **FILES}
    extra = {name(member): member.data for member in more}
    good = sums(sums_of({**files, **extra}))
    members = [*(Member(name, data) for name, data in files.items()), *more, Member(CHECK_SUMS, good)]
    return zip_of(members, **ends)  # type: ignore[arg-type]


def name(member: Member) -> str:
    return member.name if isinstance(member.name, str) else member.name.decode("utf-8", "replace")


def wide(*values: int) -> bytes:
    """A ZIP64 field."""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def described(data: bytes, form: str = "<4s3I", crc_change: int = 0) -> Member:
    """A member whose numbers follow it, as streaming writers do it."""
    packed = deflated(data)
    numbers = (zlib.crc32(data) ^ crc_change, len(packed), len(data))
    after = struct.pack(form, *((b"PK\7\x08",) if form.startswith("<4s") else ()), *numbers)
    return Member("data/blob", data, flags=8, local={"crc": 0, "packed": 0, "size": 0}, after=after)


def _told(**changes: object) -> bytes:
    return package(told={**TOLD, **changes})


def _end(data: bytes) -> tuple[int, int]:
    """The size and the place of the list."""
    size, offset = struct.unpack_from("<2I", data, len(data) - 10)
    return size, offset


def _large_ends(**changes: object) -> bytes:
    """A package with a ZIP64 end, after the same document."""
    plain = package()
    size, offset = _end(plain)
    count = len(FILES) + 2
    told: dict[str, object] = {
        "length": 44,
        "disk": 0,
        "start": 0,
        "here": count,
        "count": count,
        "size": size,
        "offset": offset,
    }
    told |= {"at": len(plain) - 22, "disks": 1, "small_size": FULL, "small_offset": FULL, **changes}
    large = struct.pack("<4sQ2H2I4Q", b"PK\6\6", told["length"], 45, 45, *(told[key] for key in ("disk", "start", "here", "count", "size", "offset")))  # fmt: skip
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, told["at"], told["disks"])
    small = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, told["small_size"], told["small_offset"], 0)
    return plain[:-22] + large + locator + small


def _overlapping() -> bytes:
    """The last entry begins inside the one before it, whose content is the head of the last one and its data."""
    inner = Member("data/inner", b"inner", method=0)
    head = local_head(inner.fields({}, 0))
    outer = Member("data/outer", head + b"inner", method=0)
    files = {MANIFEST: compact(TOLD), **FILES, "data/outer": outer.data, "data/inner": b"inner"}
    members = [
        *(Member(one, data, method=0) for one, data in files.items() if one != "data/inner"),
        Member(CHECK_SUMS, sums_of(files)),
    ]
    data = zip_of(members)
    at = data.index(head)
    end = data.rindex(b"PK\5\6")
    _, offset = _end(data)
    listed = data[offset:end] + list_head(inner.fields({}, at))
    count = len(members) + 1
    return data[:offset] + listed + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(listed), offset, 0)


def _longer(name_length: int) -> str:
    return "data/" + "x" * (name_length - 5)


def _flipped(good: bytes) -> bytes:
    lines = good.splitlines(keepends=True)
    lines[1] = lines[1].replace(
        lines[1][-9:-1], lines[1][-9:-1].translate(bytes.maketrans(b"0123456789abcdef", b"123456789abcdef0"))
    )
    return b"".join(lines)


GOOD: dict[str, Callable[[], bytes]] = {
    "the sample": package,
    "numbers after the content, with a mark": lambda: package(described(b"blob" * 99)),
    "numbers after the content, without a mark": lambda: package(described(b"blob" * 99, "<3I")),
    "large numbers after the content": lambda: package(described(b"blob" * 99, "<4sI2Q")),
    "large numbers, without a mark": lambda: package(described(b"blob" * 99, "<I2Q")),
    "a ZIP64 end": _large_ends,
    "a ZIP64 end that tells one number only": lambda: _large_ends(small_size=_end(package())[0]),
    "ZIP64 numbers of all three kinds": lambda: package(
        Member("data/a", b"abc", method=0, listed={"size": FULL, "packed": FULL, "extra": wide(3, 3)})
    ),
    "ZIP64 numbers in the local head": lambda: package(
        Member("data/a", b"abc", method=0, local={"size": FULL, "packed": FULL, "extra": wide(3, 3)})
    ),
    "a stored file": lambda: package(Member("data/a", b"abc", method=0)),
    "an empty file": lambda: package(Member("data/a", b"")),
    "an empty stored file": lambda: package(Member("data/a", b"", method=0)),
    "a folder below data": lambda: package(Member("data/etc/app.conf")),
    "a name that is marked as UTF-8": lambda: package(Member("data/größe", flags=0x800)),
    "a name of 255 bytes": lambda: package(Member(_longer(255))),
    "times that are not used": lambda: package(
        Member("data/a", listed={"extra": struct.pack("<2H5s", 0x5455, 5, b"")})
    ),
    "the mode of a plain file": lambda: package(Member("data/a", attributes=0o100755 << 16)),
    "a comment of an entry": lambda: package(Member("data/a", listed={"comment": b"for people"})),
    "a Manifest with a key that is not known": lambda: _told(COLOUR=[1, {}]),
    "a Manifest of 64 KiB": lambda: package(manifest=compact(TOLD).ljust(64 << 10)),
    "check sums in another order": lambda: package(
        sums=lambda good: b"".join(reversed(good.splitlines(keepends=True)))
    ),
}

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    # names
    "a name that climbs": (lambda: package(Member("data/../../evil")), "empty, . or .."),
    "a name that climbs at its end": (lambda: package(Member("data/..")), "empty, . or .."),
    "a name with an empty part": (lambda: package(Member("data//evil")), "empty, . or .."),
    "a name with a dot for a part": (lambda: package(Member("data/./evil")), "empty, . or .."),
    "an absolute name": (lambda: package(Member("/etc/evil")), "is not relative"),
    "a name with backslashes": (lambda: package(Member("data\\..\\evil")), "is not relative"),
    "a drive letter": (lambda: package(Member("C:evil")), "is not relative"),
    "a NUL in a name": (lambda: package(Member("data/a\0.sh")), "cannot be printed"),
    "a newline in a name": (lambda: package(Member("data/a\nb")), "cannot be printed"),
    "a name that reads backwards": (lambda: package(Member("data/a\u202eb", flags=0x800)), "cannot be printed"),
    "an empty name": (lambda: package(Member("")), "1 to 255 bytes"),
    "a name of 256 bytes": (lambda: package(Member(_longer(256))), "1 to 255 bytes"),
    "a name of 60,000 bytes": (lambda: package(Member(_longer(60_000))), "1 to 255 bytes"),
    "a name that is not UTF-8": (lambda: package(Member(b"data/\xff", flags=0x800)), "not UTF-8"),
    "a name that is not marked as UTF-8": (lambda: package(Member("data/größe")), "not marked as UTF-8"),
    "a second name in an extra field": (
        lambda: package(Member("data/a", listed={"extra": struct.pack("<2HBI6s", 0x7075, 11, 1, 0, b"/evil!")})),
        "extra fields",
    ),
    "a name twice": (lambda: package(Member("data/verify.sh", b"other")), "have one name"),
    "a name twice but for the case": (lambda: package(Member("data/VERIFY.sh")), "have one name"),
    "the Manifest twice but for the case": (lambda: package(Member("DIST-INFO/MANIFEST")), "have one name"),
    "a name twice but for the way to write its accent": (
        lambda: package(Member("data/\u00e9", flags=0x800), Member("data/e\u0301", flags=0x800)),
        "have one name",
    ),
    "a file that is a folder, too": (lambda: package(Member("data/verify.sh/evil")), "of a file and of a folder"),
    # kinds
    "a symbolic link": (lambda: package(Member("data/link", b"/etc/passwd", attributes=0o120777 << 16)), "is a link"),
    "a device file": (lambda: package(Member("data/null", attributes=0o020666 << 16)), "is a link"),
    "a folder by its name": (lambda: package(Member("data/sub/", b"", method=0)), "is that of a folder"),
    "a folder by its mark": (lambda: package(Member("data/sub", b"", method=0, attributes=0x10)), "a folder"),
    "an encrypted entry": (lambda: package(Member("data/a", flags=1)), "is encrypted"),
    "a strongly encrypted entry": (lambda: package(Member("data/a", flags=0x41)), "is encrypted"),
    "hidden heads": (lambda: package(Member("data/a", flags=0x2000)), "is encrypted"),
    "patch data": (lambda: package(Member("data/a", flags=0x20)), "unknown marks"),
    "bzip2": (lambda: package(Member("data/a", method=12)), "another method than deflate"),
    "an entry on another disk": (lambda: package(Member("data/a", listed={"disk": 1})), "unknown marks"),
    # places and lengths
    "a file that was cut short": (lambda: package()[:-40], "cut short"),
    "a file that was cut in its first entry": (lambda: package()[:60], "cut short"),
    "a file without its list": (lambda: package()[: package().index(b"PK\1\2")], "cut short"),
    "something after the end": (lambda: package() + b"#!/bin/sh", "something follows"),
    "a comment": (lambda: package(end={"comment": 4}) + b"note", "something follows"),
    "a comment that is promised": (lambda: package(end={"comment": 4}), "has a comment"),
    "a part of a divided ZIP": (lambda: package(end={"disk": 1}), "divided"),
    "a gap before the list": (lambda: package(before_list=b"evil"), "unlisted bytes"),
    "a gap after the list": (lambda: package(before_end=b"evil"), "not where it is said to be"),
    "a gap between entries": (lambda: package(Member("data/a", after=b"evil")), "unlisted bytes"),
    "a gap before the first entry": (lambda: package(before=b"PK\3\4evil"), "bytes before its first entry"),
    "a list of too few": (lambda: package(end={"here": 3, "count": 3}), "has more than it is said"),
    "a list of too many": (lambda: package(end={"here": 9, "count": 9}), "ends early"),
    "a list that is none": (lambda: package(end={"offset": 0, "size": len(package()) - 22}), "list of entries is damaged"),
    "a list of 4 GiB": (lambda: package(end={"size": FULL - 1}), "list of entries claims more"),
    "1025 entries": (lambda: package(*(Member(f"data/{number}", b"") for number in range(1018))), "more than 1024"),
    "20,000 entries": (lambda: package(*(Member(f"data/{number}", b"") for number in range(20_000))), "list of entries claims more"),
    "entries that overlap": (_overlapping, "reaches into what follows it"),
    "an entry that reaches beyond the list": (
        lambda: package(Member("data/a", listed={"packed": 9000}, local={"packed": 9000})),
        "reaches into what follows it",
    ),
    "two entries at one place": (
        lambda: package(Member("data/a", b"abc", method=0, listed={"offset": 0})),
        "reaches into what follows it",
    ),
    "an entry that begins beyond the file": (
        lambda: package(Member("data/a", listed={"offset": FULL - 1})),
        "unlisted bytes",
    ),
    # the two heads of an entry
    "another name in the local head": (lambda: package(Member("data/a", local={"name": b"data/b"})), "as the list says"),
    "another method in the local head": (lambda: package(Member("data/a", local={"method": 0})), "as the list says"),
    "another size in the local head": (lambda: package(Member("data/a", local={"size": 8})), "as the list says"),
    "another packed size in the local head": (lambda: package(Member("data/a", local={"packed": 8})), "as the list says"),
    "another CRC in the local head": (lambda: package(Member("data/a", local={"crc": 8})), "as the list says"),
    "other marks in the local head": (lambda: package(Member("data/a", local={"flags": 0x800})), "as the list says"),
    "sizes that come later, but were not announced": (lambda: package(Member("data/a", local={"size": 0})), "as the list"),
    "numbers after the content that are wrong": (
        lambda: package(described(b"blob" * 99, crc_change=1)),
        "does not describe it",
    ),
    "no numbers after the content": (
        lambda: package(Member("data/a", flags=8, local={"crc": 0, "packed": 0, "size": 0})),
        "does not describe it",
    ),
    "a stored file of two sizes": (
        lambda: package(Member("data/a", b"abc", method=0, listed={"size": 9})),
        "has two sizes",
    ),
    # ZIP64
    "a ZIP64 number that is not there": (lambda: package(Member("data/a", listed={"size": FULL})), "ZIP64"),
    "a ZIP64 number that contradicts": (
        lambda: package(Member("data/a", b"abc", listed={"extra": wide(4, 5, 0)})),
        "ZIP64",
    ),
    "ZIP64 numbers that are too few": (
        lambda: package(Member("data/a", listed={"size": FULL, "packed": FULL, "extra": wide(7)})),
        "ZIP64",
    ),
    "ZIP64 numbers that are more than the file": (
        lambda: package(Member("data/a", b"abc", method=0, listed={"size": FULL, "packed": FULL, "extra": wide(1 << 63, 1 << 63)})),
        "claim more than",
    ),
    "a packed size of 2^64": (
        lambda: package(Member("data/a", listed={"packed": FULL, "extra": wide((1 << 64) - 1)})),
        "as the list says",
    ),
    "a packed size of 2^64 in both heads": (
        lambda: package(
            Member(
                "data/a",
                listed={"packed": FULL, "extra": wide((1 << 64) - 1)},
                local={"packed": FULL, "size": 7, "extra": wide((1 << 64) - 1)},
            )
        ),
        "reaches into what follows it",
    ),
    "two ZIP64 fields": (
        lambda: package(Member("data/a", listed={"size": FULL, "extra": wide(7) + wide(7)})),
        "extra fields",
    ),
    "an extra field that is cut": (lambda: package(Member("data/a", listed={"extra": b"\1\0\x08"})), "extra fields"),
    "ends that do not agree": (lambda: _large_ends(small_offset=7), "do not agree"),
    "a ZIP64 end that is elsewhere": (lambda: _large_ends(at=0), "do not agree"),
    "a ZIP64 end of 2^64 entries": (lambda: _large_ends(here=(1 << 64) - 1, count=(1 << 64) - 1), "do not agree"),
    "a ZIP64 list at 2^64": (lambda: _large_ends(offset=(1 << 64) - 1), "not where it is said to be"),
    "a ZIP64 end with more in it": (lambda: _large_ends(length=60), "do not agree"),
    "no ZIP64 end": (lambda: package(end={"size": FULL}), "do not agree"),
    # bombs
    "17 GiB in a few bytes": (
        lambda: package(*(Member(f"data/{n}", listed={"size": FULL - 1}, local={"size": FULL - 1}) for n in range(5))),
        "claim more than 17179869184 bytes",
    ),
    "a bomb": (lambda: package(Member("data/zeros", bytes(17 << 20))), "claim more than 100 times"),
    "a bomb that claims to be small": (
        lambda: package(Member("data/zeros", bytes(1000), packed=deflated(bytes(40 << 20)))),
        "is not of the size",
    ),
    "an entry that claims to be larger": (
        lambda: package(Member("data/a", b"abc", listed={"size": 9}, local={"size": 9})),
        "is not of the size",
    ),
    "packed content with a tail": (lambda: package(Member("data/a", packed=deflated(b"content") + b"more")), "is damaged"),
    "packed content with a long tail": (
        lambda: package(Member("data/a", packed=deflated(b"content") + bytes(1 << 20))),
        "is damaged",
    ),
    "packed content that is none": (lambda: package(Member("data/a", packed=b"\xff" * 20)), "is damaged"),
    "packed content that ends early": (
        lambda: package(Member("data/a", bytes(999), packed=deflated(bytes(999))[:-2])),
        "is damaged",
    ),
    "content with another CRC": (
        lambda: package(Member("data/a", b"abc", listed={"crc": 1}, local={"crc": 1})),
        "is damaged",
    ),
    # the Manifest
    "a Manifest over 64 KiB": (lambda: package(manifest=compact(TOLD).ljust((64 << 10) + 1)), "larger than 65536"),
    "a Manifest that is not UTF-8": (lambda: package(manifest=b'{"NAME":"\xff","VERSION":"1"}'), "not JSON in UTF-8"),
    "a Manifest that is not JSON": (lambda: package(manifest=b"NAME=a"), "not JSON in UTF-8"),
    "an empty Manifest": (lambda: package(manifest=b""), "not JSON in UTF-8"),
    "a Manifest with a key twice": (
        lambda: package(manifest=b'{"NAME":"a","VERSION":"1","NAME":"b"}'),
        "has a key twice",
    ),
    "a Manifest 30,000 deep": (lambda: package(manifest=b"[" * 30_000), "not JSON in UTF-8"),
    "a Manifest with a huge number": (lambda: package(manifest=b'{"A":' + b"9" * 60_000 + b"}"), "not JSON in UTF-8"),
    "a Manifest that is a list": (lambda: package(manifest=b"[]"), "not a JSON object"),
    "a Manifest that is null": (lambda: package(manifest=b"null"), "not a JSON object"),
    "a Manifest without a name": (lambda: package(manifest=b'{"VERSION":"1"}'), "NAME must be 1 to 128"),
    "a Manifest without a version": (lambda: package(manifest=b'{"NAME":"a"}'), "VERSION must be 1 to 64"),
    "an empty name of the package": (lambda: _told(NAME=""), "NAME must be"),
    "a version that is a number": (lambda: _told(VERSION=1.0), "VERSION must be"),
    "a version of spaces": (lambda: _told(VERSION="  "), "VERSION must be"),
    "a version of 65 characters": (lambda: _told(VERSION="1" * 65), "VERSION must be"),
    "a name of two lines": (lambda: _told(NAME="a\nb"), "NAME must be"),
    "half a character in the name": (lambda: _told(NAME="\ud800"), "NAME must be"),
    "a headless flag that is a text": (lambda: _told(HEADLESS_EXECUTION="true"), "HEADLESS_EXECUTION must be"),
    "a headless flag that is a number": (lambda: _told(HEADLESS_EXECUTION=1), "HEADLESS_EXECUTION must be"),
    "an action that is a list": (lambda: _told(EXECUTE=["execute.sh"]), "EXECUTE must be"),
    "an action that climbs": (lambda: _told(EXECUTE="../execute.sh"), "a path without .."),
    "an action with a NUL": (lambda: _told(EXECUTE="a\0b"), "EXECUTE must be"),
    "an action of 1025 characters": (lambda: _told(EXECUTE="x" * 1025), "EXECUTE must be"),
    "an OS that is a number": (lambda: _told(OS=1), "OS must be"),
    "an architecture that is null": (lambda: _told(ARCHITECTURE=None), "ARCHITECTURE must be"),
    "install paths in a list": (lambda: _told(INSTALL_PATHS=["/a"]), "INSTALL_PATHS must be"),
    "an install path that is a number": (lambda: _told(INSTALL_PATHS={"data/verify.sh": 1}), "INSTALL_PATHS must be"),
    "an install path that is relative": (lambda: _told(INSTALL_PATHS={"data/verify.sh": "a"}), "must be a full path"),
    "an install path that climbs": (lambda: _told(INSTALL_PATHS={"data/verify.sh": "/a/../b"}), "must be a full path"),
    "an install path that is a folder": (lambda: _told(INSTALL_PATHS={"data/verify.sh": "/a/"}), "must be a full path"),
    "an install path with a NUL": (lambda: _told(INSTALL_PATHS={"data/verify.sh": "/a\0"}), "must be a full path"),
    "an install path of no entry": (lambda: _told(INSTALL_PATHS={"data/none": "/a"}), "must be for an entry"),
    "an install path of the Manifest": (lambda: _told(INSTALL_PATHS={MANIFEST: "/a"}), "must be for an entry"),
    "two entries at one install path": (
        lambda: _told(INSTALL_PATHS={"data/verify.sh": "/a", "data/reset.sh": "/a"}),
        "the same",
    ),
    # the check sums
    "no check sums": (lambda: zip_of([Member(MANIFEST, compact(TOLD))]), "CHECK_SUMS is missing"),
    "check sums over 512 KiB": (lambda: package(sums=lambda good: good.ljust((512 << 10) + 1)), "larger than 524288"),
    "a wrong check sum": (lambda: package(sums=_flipped), "entry 2 does not have the SHA-256"),
    "an entry that is not listed": (
        lambda: package(sums=lambda good: b"".join(good.splitlines(keepends=True)[:-1])),
        "entry 6 is not listed",
    ),
    "a Manifest that is not listed": (
        lambda: package(sums=lambda good: b"".join(good.splitlines(keepends=True)[1:])),
        "entry 1 is not listed",
    ),
    "a listed entry that is missing": (
        lambda: package(sums=lambda good: good + good.splitlines(keepends=True)[1].replace(b"verify", b"gone")),
        "line 7 of dist-info/CHECK_SUMS lists an entry that is missing",
    ),
    "a list that lists itself": (
        lambda: package(sums=lambda good: good + good.splitlines(keepends=True)[1].replace(b"data/verify.sh", b"dist-info/CHECK_SUMS")),
        "line 7 of dist-info/CHECK_SUMS lists an entry that is missing",
    ),
    "an entry that is listed again": (
        lambda: package(sums=lambda good: good + good.splitlines(keepends=True)[0]),
        "line 7 of dist-info/CHECK_SUMS lists an entry again",
    ),
    "a line that is none": (lambda: package(sums=lambda good: good + b"hello\n"), "line 7 of dist-info/CHECK_SUMS is not"),
    "an empty line": (lambda: package(sums=lambda good: good + b"\n"), "line 7 of dist-info/CHECK_SUMS is not"),
    "lines for Windows": (lambda: package(sums=lambda good: good.replace(b"\n", b"\r\n")), "line 1 of"),
    "hex digits in upper case": (lambda: package(sums=lambda good: good.replace(b"a", b"A").replace(b"shA", b"sha")), "is not a name"),
    "another hash": (lambda: package(sums=lambda good: good.replace(b"sha256", b"sha512")), "line 1 of"),
    "a last line without an end": (lambda: package(sums=lambda good: good[:-1]), "the last line of"),
    "check sums that are not text": (lambda: package(sums=lambda good: b"\xff\xfe" * 500 + b"\n"), "line 1 of"),
    "an empty list of check sums": (lambda: package(sums=lambda good: b""), "entry 1 is not listed"),
    "500,000 empty lines": (lambda: package(sums=lambda good: b"\n" * (500 << 10)), "and 511986 more"),
}  # fmt: skip
