"""Headers of mails, written so that every mail client reads the same value, whatever a name or a subject contains.

The standard library can fold a long header so that a name loses its quotes, which adds recipients, or ends in an empty
line, which adds text to the body. Here a value is either short plain ASCII on one line, or RFC 2047 encoded words with
one on each line. Neither needs quotes, and neither is folded again.
"""

import re
from email.header import Header

MAX_PLAIN_LENGTH = 60
"""Longest value that is written as it is, so that it fits on one line with the name of its header."""
MAX_ENCODED_LINE_LENGTH = 75
"""An encoded word has at most 75 characters (RFC 2047), and there is one on each line."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_PLAIN_TEXT = re.compile(r"[!-~]+(?: [!-~]+)*")
_ENCODED_WORD_START = "=?"


def address_header(name: str, display_name: str, email: str) -> str:
    """Returns a header with one address and the name of its owner, both of one line."""
    if not display_name:
        return f"{name}: {email}"
    return f"{name}: {_phrase(name, display_name)} <{email}>"


def text_header(name: str, text: str) -> str:
    """Returns a header with text of one line."""
    return f"{name}: {text if _is_plain(text, _PLAIN_TEXT) else _encode(name, text)}"


def _phrase(header_name: str, display_name: str) -> str:
    if _is_plain(display_name, _PLAIN_NAME):
        return display_name
    return _encode(header_name, display_name) + "\r\n"


def _is_plain(text: str, plain: re.Pattern[str]) -> bool:
    return len(text) <= MAX_PLAIN_LENGTH and _ENCODED_WORD_START not in text and bool(plain.fullmatch(text))


def _encode(header_name: str, text: str) -> str:
    return Header(text, "utf-8", header_name=header_name).encode(linesep="\r\n", maxlinelen=MAX_ENCODED_LINE_LENGTH)
