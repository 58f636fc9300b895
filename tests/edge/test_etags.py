"""ETags: the part before the dot for If-Match, the whole for If-None-Match."""

import time

import pytest

from contracts.failure import PreconditionFailed
from edge.etags import format_etag, is_not_modified, parse_if_match

ETAG = format_etag("7", b"body")
OTHER_DIGEST = format_etag("7", b"another body")


@pytest.mark.parametrize("ending", ["x", '"', ", x"])
def test_no_list_takes_long_to_read(ending: str) -> None:
    """Every character of the list can match in one way only."""
    started = time.process_time()
    hostile = '"a"' + ", " * 4000 + ending
    assert not is_not_modified([hostile], ETAG)
    with pytest.raises(PreconditionFailed):
        parse_if_match([hostile])
    assert time.process_time() - started < 1


def test_an_etag_is_a_version_and_a_digest() -> None:
    version, dot, digest = ETAG.strip('"').partition(".")
    assert (version, dot, len(digest)) == ("7", ".", 16)
    assert format_etag("7", b"body") == ETAG
    assert len({ETAG, OTHER_DIGEST, format_etag("8", b"body")}) == 3


@pytest.mark.parametrize(
    ("if_match", "versions"),
    [
        ([], None),
        (["*"], None),
        ([" * "], None),
        (['"7"'], ("7",)),
        (['W/"7"'], ("7",)),
        ([' "7" '], ("7",)),
        (['"0"'], ("0",)),
        ([ETAG], ("7",)),
        (["W/" + ETAG], ("7",)),
        (['"7.0123456789abcdef-gzip"'], ("7",)),
        (['"7", "8"'], ("7", "8")),
        (['"7.aa",W/"8.bb" ,, "7.cc"'], ("7", "8")),
        (['"of-another-server", "7.aa"'], ("7",)),
        (['"7"', 'W/"9.aa"'], ("7", "9")),
        (['"a,\\b", "7"'], ("7",)),
    ],
)
def test_if_match_names_versions(if_match: list[str], versions: tuple[str, ...] | None) -> None:
    assert parse_if_match(if_match) == versions


@pytest.mark.parametrize(
    "invalid",
    [
        "",
        "7",
        '"7',
        '"seven"',
        '"-1"',
        '"07"',
        '"' + "9" * 40 + '"',
        'w/"7"',
        '"7" "8"',
        '*, "7"',
        '"7", 8',
        '".7"',
        ",",
    ],
)
def test_an_unknown_etag_fails_the_precondition(invalid: str) -> None:
    with pytest.raises(PreconditionFailed):
        parse_if_match([invalid])


@pytest.mark.parametrize(
    "if_none_match",
    [[ETAG], ["W/" + ETAG], [f'"6.aa", {ETAG}'], [f'W/"6",,{ETAG} '], ["*"], [" *"], ['"6"', ETAG]],
)
def test_detects_what_the_client_has(if_none_match: list[str]) -> None:
    assert is_not_modified(if_none_match, ETAG)


@pytest.mark.parametrize(
    "if_none_match",
    [
        [],
        [""],
        ["7"],
        ['"7"'],
        ['W/"7"'],
        [OTHER_DIGEST],
        [ETAG.strip('"')],
        [f"{ETAG} x"],
        [f'"{ETAG}"'],
        [f"*, {ETAG}"],
    ],
)
def test_detects_what_the_client_does_not_have(if_none_match: list[str]) -> None:
    assert not is_not_modified(if_none_match, ETAG)


def test_an_etag_can_be_sent_back() -> None:
    assert parse_if_match([format_etag("12", b"{}")]) == ("12",)
