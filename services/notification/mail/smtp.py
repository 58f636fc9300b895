"""The mail server: one connection, used again and again, and what its answers mean for a mail."""

import re
import time
from email.message import EmailMessage
from ssl import SSLError

import aiosmtplib
from aiosmtplib import (
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

FIRST_PERMANENT_CODE = 500
CLOSING_CODE = 421
IDLE_SECONDS = 5.0
MAX_REASON_LENGTH = 300
_ADDRESS = re.compile(r"[^\s<>()]+@[^\s<>()]+")


class MailRejected(Exception):  # noqa: N818 - an answer, not an accident
    """The server will never take this mail."""


class MailDeferred(Exception):  # noqa: N818 - an answer, not an accident
    """The server does not take this mail now."""


class MailServerUnavailable(Exception):  # noqa: N818 - nothing is wrong with the mail
    """No mail can be sent just now: nobody is there, or does not let us in."""


class MailConnectionLost(MailDeferred):
    """The connection ended in the middle of this mail; whether the server has it is not known."""


class SmtpConnection:
    """Sends one mail at a time. `client` keeps its settings over reconnects."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self._used = 0.0

    async def ensure_connected(self) -> None:
        """Connected, and sure of it. Raises `Away`."""
        if self.client.is_connected and time.monotonic() - self._used > IDLE_SECONDS:
            await self._greet()
        if self.client.is_connected:
            return
        try:
            await self.client.connect()
        except (SMTPException, SSLError, OSError) as error:
            self.client.close()
            raise MailServerUnavailable(_told(error)) from error

    async def send(self, mail: EmailMessage, sender: str, recipient: str) -> None:
        """Returns once the server has taken the mail. Raises `Refused`, `Postponed` or `Lost`."""
        try:
            await self.client.send_message(mail, sender=sender, recipients=[recipient])
        except SMTPRecipientsRefused as error:
            raise self._meaning(error.recipients[0]) from error
        except SMTPResponseException as error:
            raise self._meaning(error) from error
        except (SMTPNotSupported, ValueError) as error:
            raise MailRejected(_told(error)) from error
        except (SMTPException, OSError) as error:
            self.client.close()
            raise MailConnectionLost(_told(error)) from error
        except BaseException:
            self.client.close()  # cut off in the middle of a command: nothing sensible can follow on this connection
            raise
        self._used = time.monotonic()

    async def close(self) -> None:
        if self.client.is_connected:
            try:
                await self.client.quit(timeout=1)
            except (SMTPException, OSError):
                self.client.close()

    async def _greet(self) -> None:
        try:
            await self.client.noop()
        except (SMTPException, OSError):
            self.client.close()

    def _meaning(self, answer: SMTPResponseException) -> Exception:
        reason = _told(answer)
        if answer.code == CLOSING_CODE:
            self.client.close()
        return MailRejected(reason) if answer.code >= FIRST_PERMANENT_CODE else MailDeferred(reason)


def _told(error: Exception) -> str:
    """What went wrong, without anybody's address: it is kept."""
    text = f"{error.code} {error.message}" if isinstance(error, SMTPResponseException) else str(error)
    return _ADDRESS.sub("<address>", " ".join((text or type(error).__name__).split()))[:MAX_REASON_LENGTH]
