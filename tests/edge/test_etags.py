"""If-Match and If-None-Match."""

import pytest

from contracts.failure import PreconditionFailed
from edge.etags import format_etag, is_not_modified, parse_if_match


@pytest.mark.parametrize(
    ("if_match", "version"), [(None, None), ("*", None), ('"7"', "7"), ('W/"7"', "7"), (' "7" ', "7"), ('"0"', "0")]
)
def test_names_a_version(if_match: str | None, version: str | None) -> None:
    assert parse_if_match(if_match) == version


@pytest.mark.parametrize("bad", ["", "7", '"7', '"seven"', '"-1"', '"07"', '"7", "8"', '"' + "9" * 40 + '"', 'w/"7"'])
def test_what_is_no_version_of_ours_has_changed(bad: str) -> None:
    with pytest.raises(PreconditionFailed):
        parse_if_match(bad)


@pytest.mark.parametrize("known", ['"7"', 'W/"7"', '"6", "7"', "*"])
def test_knows_what_the_client_has(known: str) -> None:
    assert is_not_modified(known, "7")


@pytest.mark.parametrize("known", ["", "7", '"8"', '"77"'])
def test_knows_what_it_has_not(known: str) -> None:
    assert not is_not_modified(known, "7")


def test_what_was_given_out_comes_back() -> None:
    assert parse_if_match(format_etag("12")) == "12"
