"""ETags and conditional requests (RFC 9110, section 13).

An ETag is `"<version>.<digest>"`. The version counts changes of the resource itself: a write with `If-Match` requires
it. The digest is that of the response's bytes, so it also covers what changes without the version, such as stock,
prices and the category's slug: a read with `If-None-Match` compares both.

Nginx weakens an ETag when it compresses a response, so a weak tag equals the strong one here.
"""

import hashlib
import re
from collections.abc import Sequence

from contracts.failure import PreconditionFailed

_TAG = r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"'
_TAG_IN_LIST = re.compile(_TAG)
_TAG_LIST = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
"""A list may have empty members. Each character can match in one way only, so no input takes long."""
_VERSION = re.compile(r"(0|[1-9][0-9]{0,17})(?:\..*)?")
_DIGEST_BYTES = 8


def format_etag(version: str, body: bytes) -> str:
    """Returns the ETag of a resource in this version, shown by this response body."""
    return f'"{version}.{hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()}"'


def parse_if_match(values: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the versions of which If-Match, in one or more lines, requires one; None when any version will do. Raises
    PreconditionFailed when no tag can be one of this API.
    """
    if not values or [value.strip() for value in values] == ["*"]:
        return None
    tags = _parse_tags(",".join(values))
    versions = dict.fromkeys(match[1] for tag in tags if (match := _VERSION.fullmatch(tag)))
    if not versions:
        raise PreconditionFailed("`If-Match` must hold an `ETag` as this API returned it, a list of them, or `*`.")
    return tuple(versions)


def is_not_modified(if_none_match: Sequence[str], etag: str) -> bool:
    """Whether the client already has what this ETag names. `if_none_match` holds the header's lines."""
    if [value.strip() for value in if_none_match] == ["*"]:
        return True
    return etag[1:-1] in _parse_tags(",".join(if_none_match))


def _parse_tags(value: str) -> list[str]:
    """Returns the tags of a list, without quotes and `W/`; none when it is not a list of tags."""
    return _TAG_IN_LIST.findall(value) if _TAG_LIST.fullmatch(value) else []
