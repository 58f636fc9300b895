"""Reads the mails that the local SMTP sink has stored, for `souk mail`, the demo and the tests."""

import email
import email.parser
import email.policy
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import getaddresses
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

CACHED_RECIPIENTS = 2000
"""Twice as many as the sink stores."""


@dataclass(frozen=True)
class ReceivedMail:
    """One stored mail. `number` counts up from 1 and never changes."""

    number: int
    received_at: datetime
    message: EmailMessage

    @property
    def to(self) -> str:
        """The header To."""
        return str(self.message["To"] or "")

    def is_addressed_to(self, address: str) -> bool:
        """Tells whether this address is among the recipients, ignoring case and display names."""
        return address.lower() in {one.lower() for _, one in getaddresses([self.to])}

    @property
    def sender(self) -> str:
        """The header From."""
        return str(self.message["From"] or "")

    @property
    def subject(self) -> str:
        """The header Subject."""
        return str(self.message["Subject"] or "")

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """All headers in order."""
        return [(name, str(value)) for name, value in self.message.items()]

    @property
    def text(self) -> str:
        """The plain text, or an empty text."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The HTML, or an empty text."""
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part else ""


def list_mails(folder: Path, *, to: str = "", newest: int | None = None) -> list[ReceivedMail]:
    """Returns mails, oldest first: those whose recipient contains `to`, and only the `newest` so many."""
    found: list[ReceivedMail] = []
    for number, entry in sorted(_stored_files(folder), key=itemgetter(0), reverse=True):
        if newest is not None and len(found) >= newest:
            break
        with suppress(FileNotFoundError):
            is_wanted = to.lower() in _read_recipients(entry.path, entry.stat().st_mtime_ns).lower()
            if is_wanted and (one := read_mail(folder, number)):
                found.append(one)
    return found[::-1]


@lru_cache(maxsize=CACHED_RECIPIENTS)
def _read_recipients(path: str, _modified_at: int) -> str:
    """The header To of a mail. Each is parsed once: a program that waits for a mail looks at all of them often."""
    with Path(path).open("rb") as file:
        return str(email.parser.BytesHeaderParser(policy=email.policy.default).parse(file)["To"] or "")


def _stored_files(folder: Path) -> list[tuple[int, "os.DirEntry[str]"]]:
    """Number and file of each stored mail, in no order."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [
            (int(number), entry)
            for entry in entries
            if (number := entry.name.removesuffix(".eml")) != entry.name and number.isdecimal()
        ]
    return []


def mail_numbers(folder: Path) -> list[int]:
    """Returns the numbers of the stored mails, in no order."""
    return [number for number, _ in _stored_files(folder)]


def delete_mails(folder: Path, *, to: str) -> int:
    """Deletes the mails to an address, as its owner would. Returns how many there were."""
    found = [one for one in list_mails(folder, to=to) if one.is_addressed_to(to)]
    for one in found:
        _path(folder, one.number).unlink(missing_ok=True)
    return len(found)


def read_mail(folder: Path, number: int) -> ReceivedMail | None:
    """Returns one mail, or None when it does not exist any more."""
    path = _path(folder, number)
    try:
        content, kept_at = path.read_bytes(), path.stat().st_mtime
    except FileNotFoundError:
        return None
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return ReceivedMail(number, datetime.fromtimestamp(kept_at, UTC), parsed)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.eml"
