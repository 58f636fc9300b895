"""ETags and the conditions that name them (RFC 9110, section 13). An ETag is the version of the thing.

Nginx weakens an ETag when it compresses the answer, and two bodies of one version are equal in meaning: so a weak tag
counts as the strong one, here and there.
"""

import re

from contracts.failure import PreconditionFailed

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")


def format_etag(version: str) -> str:
    return f'"{version}"'


def parse_if_match(if_match: str | None) -> str | None:
    """The version that If-Match names; None where any will do. What cannot be a version of ours has changed."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None or not _VERSION.fullmatch(found[1]):
        raise PreconditionFailed("If-Match names one ETag, as it was given out.")
    return found[1]


def is_not_modified(if_none_match: str, version: str) -> bool:
    """Whether the client has this version already."""
    return if_none_match.strip() == "*" or version in _TAG.findall(if_none_match)
