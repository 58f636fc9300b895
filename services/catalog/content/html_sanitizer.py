"""Descriptions: plain text stays as it is, HTML keeps only what cannot do harm."""

import re

import nh3

_TAG_BEGINS = re.compile(r"<[A-Za-z/!?]")


def sanitize_html(text: str) -> str:
    """Without scripts, handlers, styles and unsafe links. Text in which no tag begins is not HTML, and not escaped."""
    return nh3.clean(text) if _TAG_BEGINS.search(text) else text
