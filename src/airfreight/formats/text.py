"""Text out of untrusted bytes: printable and on one line, or nothing."""

import re

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_DATE = re.compile(rf"({_MONTHS.replace(' ', '|')}) ([ 0-3]?\d) (\d{{4}})", re.ASCII)
_TIME = re.compile(r"\d{2}:\d{2}:\d{2}", re.ASCII)
_TO_SPACES = str.maketrans("\t\n\v\f\r", "     ")


def printable(raw: bytes) -> str | None:
    """Decode UTF-8; None when it is not, or has control characters. White space becomes plain spaces."""
    try:
        text = raw.decode("utf-8").translate(_TO_SPACES)
    except UnicodeDecodeError:
        return None
    return text.strip() if text.isprintable() else None


def c_string(raw: bytes) -> str:
    """Read a fixed field up to its NUL; "" when what stands there is not printable."""
    return printable(raw.split(b"\0", 1)[0]) or ""


def build_time(date: str, time: str) -> str:
    """Join what a C compiler's `__DATE__` and `__TIME__` gave to `Jan 09 2024 12:25:30`; "" when they are neither."""
    found = _DATE.fullmatch(date)
    if found is None or _TIME.fullmatch(time) is None:
        return ""
    month, day, year = found.groups()
    return f"{month} {int(day):02} {year} {time}"
