"""The mails that the local stack kept, for `souk mail`, the demo and the tests."""

import email
import email.policy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path


@dataclass(frozen=True)
class Mail:
    """`number` counts upwards from 1 and stays a mail's own."""

    number: int
    kept_at: datetime
    message: EmailMessage

    @property
    def to(self) -> str:
        return str(self.message["To"] or "")

    def is_to(self, address: str) -> bool:
        """Whether it is to just that address, however it is written."""
        return address.lower() in {one.lower() for _, one in getaddresses([self.to])}

    @property
    def sender(self) -> str:
        return str(self.message["From"] or "")

    @property
    def subject(self) -> str:
        return str(self.message["Subject"] or "")

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        return [(name, str(value)) for name, value in self.message.items()]

    @property
    def text(self) -> str:
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part else ""


def mails(folder: Path, *, to: str = "", newest: int | None = None) -> list[Mail]:
    """Oldest first; only those to an address, if one is given."""
    found: list[Mail] = []
    for number in sorted(numbers(folder), reverse=True):
        if newest is not None and len(found) >= newest:
            break
        one = mail(folder, number)
        if one and to.lower() in one.to.lower():
            found.append(one)
    return found[::-1]


def numbers(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("*.eml") if path.stem.isdecimal()]


def forget(folder: Path, *, to: str) -> int:
    """Empties the mailbox of an address, as its owner would; how many mails that were."""
    found = [one for one in mails(folder, to=to) if one.is_to(to)]
    for one in found:
        _path(folder, one.number).unlink(missing_ok=True)
    return len(found)


def mail(folder: Path, number: int) -> Mail | None:
    """None when there is no such mail, or not any more."""
    path = _path(folder, number)
    try:
        content, kept_at = path.read_bytes(), path.stat().st_mtime
    except FileNotFoundError:
        return None
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return Mail(number, datetime.fromtimestamp(kept_at, UTC), parsed)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.eml"
