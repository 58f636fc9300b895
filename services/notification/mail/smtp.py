"""A connection to the mail server, reused for many mails, and what the server's replies mean for a mail."""

import re
import time
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
"""Idle time after which the connection is checked before it is used again."""
MAX_REASON_LENGTH = 300
_MAIL_ADDRESS = re.compile(r"[^\s<>()]+@[^\s<>()]+")


class MailRejected(Exception):  # noqa: N818 - a reply of the server, not an error of ours
    """The server will never accept this mail."""


class MailDeferred(Exception):  # noqa: N818 - as above
    """The server does not accept this mail now; it may later."""


class MailServerUnavailable(Exception):  # noqa: N818 - nothing is wrong with the mail
    """No mail can be sent now: the server is unreachable or refuses the login."""


class MailConnectionLost(MailDeferred):
    """The connection ended while this mail was sent; the server may or may not have accepted it."""


class SmtpConnection:
    """Sends one mail at a time. The client keeps its settings when it connects again."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self._last_used = 0.0

    async def ensure_connected(self) -> None:
        """Connects if necessary, and checks a connection that was idle; raises `MailServerUnavailable`."""
        if self.client.is_connected and time.monotonic() - self._last_used > IDLE_SECONDS:
            await self._check_alive()
        if self.client.is_connected:
            return
        try:
            await self.client.connect()
        except (SMTPException, SSLError, OSError) as error:
            self.client.close()
            raise MailServerUnavailable(_reason(error)) from error

    async def send(self, message: bytes, sender: str, recipient: str) -> None:
        """Returns once the server has accepted the mail; raises `MailRejected` or `MailDeferred` otherwise."""
        options = [] if sender.isascii() and recipient.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            await self.client.sendmail(sender, [recipient], message, mail_options=options)
        except SMTPRecipientsRefused as error:
            raise self._failure(error.recipients[0]) from error
        except SMTPResponseException as error:
            raise self._failure(error) from error
        except (SMTPNotSupported, ValueError) as error:
            raise MailRejected(_reason(error)) from error
        except (SMTPException, OSError) as error:
            self.client.close()
            raise MailConnectionLost(_reason(error)) from error
        except BaseException:
            self.client.close()  # interrupted within a command: the connection is in an unknown state
            raise
        self._last_used = time.monotonic()

    async def close(self) -> None:
        """Says goodbye to the server and closes the connection."""
        if self.client.is_connected:
            try:
                await self.client.quit(timeout=1)
            except (SMTPException, OSError):
                self.client.close()

    async def _check_alive(self) -> None:
        try:
            await self.client.noop()
        except (SMTPException, OSError):
            self.client.close()

    def _failure(self, reply: SMTPResponseException) -> Exception:
        reason = _reason(reply)
        if reply.code == CLOSING_CODE:
            self.client.close()
        return MailRejected(reason) if reply.code >= FIRST_PERMANENT_CODE else MailDeferred(reason)


def _reason(error: Exception) -> str:
    """Describes the error without mail addresses, because it is stored."""
    text = f"{error.code} {error.message}" if isinstance(error, SMTPResponseException) else str(error)
    return _MAIL_ADDRESS.sub("<address>", " ".join((text or type(error).__name__).split()))[:MAX_REASON_LENGTH]
