"""URLs of webhooks are read strictly, and tries spread out."""

import pytest

from airfreight.domain.ids import Millis
from airfreight.domain.webhooks import LONGEST_PAUSE_MS, Place, asked_pause_ms, pause_ms, place_of, read_url

BAD = [
    "", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "http://",
    "https:///x", "https://:443/", "https://user@example.com/", "https://user:pw@example.com/", "https://example.com@evil.example/",
    "https://example.com\\@evil.example/", "https://example.com/a b", "https://example.com/\\x", "https://example.com/#x",
    "https://example.com/%zz", "https://example.com/%0", "https://exa\nmple.com/", "https://example.com/\r\nX: y", "https://example.com\r\n/",
    "https://example.com/\x00", " https://example.com/", "https://example.com/ ", "https://ex ample.com/", "https://example.com:0/",
    "https://example.com:22/", "https://example.com:25/", "https://example.com:99999/", "https://example.com:65536/", "https://example.com:x/",
    "https://example.com:-1/", "https://example.com:/", "https://example.com:0443/", "https://2130706433/", "https://0x7f000001/",
    "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://1.2.3/", "https://1.2.3.4.5/", "https://1.2.3.256/", "https://127.0.0.01/",
    "https://example.0x10/", "https://\u2460\u2461\u2466.0.0.1/", "https://127\u3002" + "0.0.1/", "https://ex\u00e4mple.com/", "https://[::1/",
    "https://::1/", "https://[fe80::1%25lo]/", "https://[::1]x/", "https://[1.2.3.4]/", "https://-a.example/", "https://a-.example/",
    "https://a..example/", "https://.example/", "https://" + "a" * 64 + ".example/", "https://" + "a." * 127 + "aa/",
    "https://example.com/" + "x" * 1000, "https://example.com?x=1", "https://exam%70le.com/", "https://example.com%0d%0aX:y/",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD)
def test_what_can_be_read_in_two_ways_is_not_read(url: str) -> None:
    assert read_url(url) is None


@pytest.mark.parametrize(
    ("url", "place", "again"),
    [
        ("https://example.com", Place("https", "example.com", 443, "/"), "https://example.com/"),
        ("HTTPS://Example.COM:443/A?b=c&d=%20", Place("https", "example.com", 443, "/A?b=c&d=%20"), "https://example.com/A?b=c&d=%20"),
        ("http://example.com:8080/", Place("http", "example.com", 8080, "/"), "http://example.com:8080/"),
        ("http://8.8.8.8/x", Place("http", "8.8.8.8", 80, "/x"), "http://8.8.8.8/x"),
        ("https://[2A00::1]:9093/x", Place("https", "2a00::1", 9093, "/x"), "https://[2a00::1]:9093/x"),
        ("https://xn--exmple-cua.com/", Place("https", "xn--exmple-cua.com", 443), "https://xn--exmple-cua.com/"),
        ("https://a_b.internal./x//..", Place("https", "a_b.internal.", 443, "/x//.."), "https://a_b.internal./x//.."),
        ("https://3com.example/", Place("https", "3com.example", 443), "https://3com.example/"),
    ],
)  # fmt: skip
def test_a_good_url_is_taken_apart_and_put_together(url: str, place: Place, again: str) -> None:
    assert read_url(url) == place
    assert place.url == again
    assert read_url(again) == place


def test_parts_are_held_to_the_same() -> None:
    assert place_of("http", "Example.com", 9093, "/api?x") == Place("http", "example.com", 9093, "/api?x")
    for wrong in (
        ("ftp", "a.b", 80, "/"),
        ("http", "a b", 80, "/"),
        ("http", "a.b", 22, "/"),
        ("http", "a.b", 80, "x"),
    ):
        assert place_of(*wrong) is None


def test_pauses_double_up_to_an_hour_and_are_spread() -> None:
    plain = [pause_ms(attempt, 0.5) for attempt in range(1, 9)]
    assert plain == [5_000 * 2**number for number in range(8)]
    assert (pause_ms(1, 0), pause_ms(1, 1)) == (4_000, 6_000)
    assert pause_ms(1_000_000, 0.5) == LONGEST_PAUSE_MS


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("", 0), ("0", 0), ("7", 7_000), (" 120 ", 120_000), ("3600", 3_600_000), ("3601", 3_600_000), ("9" * 20, 3_600_000),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 80_000), ("Wed, 21 Oct 2015 07:28:00", 80_000), ("Wed, 21 Oct 2015 07:26:39 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600_000), ("Wed, 99 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2015 07:28:00 -9999999999", 0),
        ("-3", 0), ("1.5", 0), ("soon", 0), ("\u0663", 0), ("9" * 64, 0),
    ],
)  # fmt: skip
def test_when_a_receiver_asks_to_come_again_is_read_within_an_hour(said: str, wanted: int) -> None:
    assert asked_pause_ms(said, Millis(1_445_412_400_000)) == wanted
