"""If-Match and If-None-Match."""

import pytest

from contracts.failure import PreconditionFailed
from edge.etags import format_etag, is_not_modified, parse_if_match


@pytest.mark.parametrize(
    ("if_match", "version"), [(None, None), ("*", None), ('"7"', "7"), ('W/"7"', "7"), (' "7" ', "7"), ('"0"', "0")]
)
def test_if_match_names_a_version(if_match: str | None, version: str | None) -> None:
    assert parse_if_match(if_match) == version


@pytest.mark.parametrize(
    "invalid", ["", "7", '"7', '"seven"', '"-1"', '"07"', '"7", "8"', '"' + "9" * 40 + '"', 'w/"7"']
)
def test_an_unknown_etag_fails_the_precondition(invalid: str) -> None:
    with pytest.raises(PreconditionFailed):
        parse_if_match(invalid)


@pytest.mark.parametrize("if_none_match", ['"7"', 'W/"7"', '"6", "7"', "*"])
def test_detects_a_version_that_the_client_has(if_none_match: str) -> None:
    assert is_not_modified(if_none_match, "7")


@pytest.mark.parametrize("if_none_match", ["", "7", '"8"', '"77"'])
def test_detects_a_version_that_the_client_does_not_have(if_none_match: str) -> None:
    assert not is_not_modified(if_none_match, "7")


def test_an_etag_can_be_sent_back() -> None:
    assert parse_if_match(format_etag("12")) == "12"
