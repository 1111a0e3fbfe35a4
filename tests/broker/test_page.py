"""docs/devices/mqtt.md and the files it quotes say the same."""

import re

import pytest
from tests.broker.broker import DEPLOY, PAGE, documented_openssl

from airfreight_agent.mqtt_offer import FIELDS, HEADERS, LONGEST_URL

TEXT = PAGE.read_text()


@pytest.mark.parametrize("name", ["mosquitto.conf", "acl"])
def test_the_page_quotes_the_file_to_the_letter(name: str) -> None:
    assert f"```conf\n{(DEPLOY / name).read_text()}```" in TEXT


def test_the_page_has_the_commands_that_the_tests_make_certificates_with() -> None:
    assert [command[0] for command in documented_openssl()] == ["req", "req", "x509"]


def test_the_page_has_the_fields_and_headers_that_the_simulated_device_checks() -> None:
    offer = next(line for line in TEXT.splitlines() if line.startswith('{"url":'))

    assert re.findall(r'"(\w+)":', offer) == list(FIELDS)
    assert set(HEADERS) <= set(re.findall(r"`([\w-]+)`", TEXT))
    assert f"at most {LONGEST_URL} characters" in TEXT


def test_every_topic_of_the_page_is_one_that_the_access_list_allows() -> None:
    topics = set(re.findall(r"airfreight/ID/[\w/#]+", TEXT))

    assert topics == {"airfreight/ID/info/mcu", "airfreight/ID/downlink/#", "airfreight/ID/downlink/"}


def test_the_topics_that_have_no_prefix_are_those_of_the_access_list() -> None:
    allowed = re.findall(r"^pattern (?:read|write) (/\S+)$", (DEPLOY / "acl").read_text(), flags=re.MULTILINE)
    names = {topic.replace("%u", "N").replace("groups/+", "groups/GROUP").replace("+", "UID") for topic in allowed}

    assert names == set(re.findall(r"`(/N/[\w/-]+)`", TEXT))
