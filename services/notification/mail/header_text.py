"""Headers of mails, written so that every mail client reads the same value, whatever a name or a subject contains.

The standard library can fold a long header so that a name loses its quotes, which adds recipients, or ends in an empty
line, which adds text to the body. Here a value is either short plain ASCII on one line, or RFC 2047 encoded words with
one on each line. Neither needs quotes, and neither is folded again.
"""

import re
from email.header import Header
from email.policy import Policy
from typing import Self

MAX_PLAIN_LENGTH = 60
"""Longest value that is written as it is, so that it fits on one line with the name of its header."""
MAX_ENCODED_LINE_LENGTH = 75
"""An encoded word has at most 75 characters (RFC 2047), and there is one on each line."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_PLAIN_TEXT = re.compile(r"[!-~]+(?: [!-~]+)*")
_ENCODED_WORD_START = "=?"


class FoldedHeader(str):
    """A header's value whose lines are final. `name` and `fold` are what `email.policy` expects of a header."""

    __slots__ = ("name",)

    name: str

    def __new__(cls, name: str, value: str) -> Self:
        """Makes the value of the header `name`."""
        header = super().__new__(cls, value)
        header.name = name
        return header

    def fold(self, *, policy: Policy) -> str:
        """Returns the header as it is sent."""
        return f"{self.name}: {policy.linesep.join(self.split(chr(10)))}{policy.linesep}"


def address_header(name: str, display_name: str, email: str) -> FoldedHeader:
    """Returns a header with one address and the name of its owner, both of one line."""
    if not display_name:
        return FoldedHeader(name, email)
    return FoldedHeader(name, f"{_phrase(name, display_name)} <{email}>")


def text_header(name: str, text: str) -> FoldedHeader:
    """Returns a header with text of one line."""
    return FoldedHeader(name, text if _is_plain(text, _PLAIN_TEXT) else _encode(name, text))


def _phrase(header_name: str, display_name: str) -> str:
    if _is_plain(display_name, _PLAIN_NAME):
        return display_name
    return _encode(header_name, display_name) + "\n"


def _is_plain(text: str, plain: re.Pattern[str]) -> bool:
    return len(text) <= MAX_PLAIN_LENGTH and _ENCODED_WORD_START not in text and bool(plain.fullmatch(text))


def _encode(header_name: str, text: str) -> str:
    return Header(text, "utf-8", header_name=header_name).encode(linesep="\n", maxlinelen=MAX_ENCODED_LINE_LENGTH)
