"""ETags and conditional requests (RFC 9110, section 13). An ETag is the resource's version.

Nginx weakens an ETag when it compresses a response, and two bodies of one version mean the same. So a weak tag equals
the strong one here.
"""

import re

from contracts.failure import PreconditionFailed

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")


def format_etag(version: str) -> str:
    """Returns the ETag of a version."""
    return f'"{version}"'


def parse_if_match(if_match: str | None) -> str | None:
    """Returns the version that If-Match requires; None when any version will do. Raises PreconditionFailed for a tag
    that this API cannot have returned.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None or not _VERSION.fullmatch(tag[1]):
        raise PreconditionFailed("`If-Match` must hold exactly one `ETag`, as this API returned it.")
    return tag[1]


def is_not_modified(if_none_match: str, version: str) -> bool:
    """Whether the client already has this version."""
    return if_none_match.strip() == "*" or version in _TAG.findall(if_none_match)
