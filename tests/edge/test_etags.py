"""If-Match and If-None-Match."""

import pytest

from contracts.failure import PreconditionFailed
from edge.etags import etag, unchanged, wanted_version


@pytest.mark.parametrize(
    ("if_match", "version"), [(None, None), ("*", None), ('"7"', "7"), ('W/"7"', "7"), (' "7" ', "7"), ('"0"', "0")]
)
def test_names_a_version(if_match: str | None, version: str | None) -> None:
    assert wanted_version(if_match) == version


@pytest.mark.parametrize("bad", ["", "7", '"7', '"seven"', '"-1"', '"07"', '"7", "8"', '"' + "9" * 40 + '"', 'w/"7"'])
def test_what_is_no_version_of_ours_has_changed(bad: str) -> None:
    with pytest.raises(PreconditionFailed):
        wanted_version(bad)


@pytest.mark.parametrize("known", ['"7"', 'W/"7"', '"6", "7"', "*"])
def test_knows_what_the_client_has(known: str) -> None:
    assert unchanged(known, "7")


@pytest.mark.parametrize("known", ["", "7", '"8"', '"77"'])
def test_knows_what_it_has_not(known: str) -> None:
    assert not unchanged(known, "7")


def test_what_was_given_out_comes_back() -> None:
    assert wanted_version(etag("12")) == "12"
