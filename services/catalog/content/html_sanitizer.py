"""Sanitizes product descriptions: plain text stays as it is, HTML keeps only harmless markup."""

import re

import nh3

_TAG_START = re.compile(r"<[A-Za-z/!?]")


def sanitize_html(text: str) -> str:
    """Removes scripts, event handlers, styles and unsafe links. Text without any tag is not HTML and is not escaped."""
    return nh3.clean(text) if _TAG_START.search(text) else text
