"""What the handlers of this service work with."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from contracts.user import ACCESS_TTL, Session
from infra.database.postgres import Connection, Database
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import Asker
from services.user.domain.accounts import Account, Limits, RequestLimits, claims, digest, role_of
from services.user.security.email_tokens import Prover
from services.user.security.password_hasher import Hasher
from services.user.security.refresh_grace import sealed
from services.user.security.signing_keys import Keyring
from services.user.security.totp import Authenticators
from services.user.store import sessions
from services.user.store.sessions import Spent
from services.user.workers.revocation_publisher import Teller

TOKEN_BYTES = 32


@dataclass(frozen=True)
class Desk:
    db: Database
    hasher: Hasher
    keyring: Keyring
    limits: Limits
    request_limits: RequestLimits
    session_lifetime: timedelta
    refresh_grace: float
    """Seconds in which a spent refresh token is taken for one whose reply was lost."""
    prover: Prover
    pepper: bytes = field(repr=False)
    """The key of the digests by which failed logins and other requests are kept."""
    teller: Teller
    asker: Asker
    """Asks the other services what they hold on somebody."""
    erase_wait: float
    """Seconds until what is held on somebody begins to be erased."""
    authenticators: Authenticators
    admins_need_totp: bool
    """An administrator without a second factor is signed in as a customer."""
    wake_mailroom: Callable[[], None]
    """Somebody has forgotten a password."""

    async def sign_in(self, connection: Connection, account: Account, address: str) -> Session:
        """A new session."""
        session_id, token = new_id(), secrets.token_urlsafe(TOKEN_BYTES)
        await sessions.open_new(connection, session_id, account.id, digest(token), self.session_lifetime, address)
        return await self.session(account, session_id, token)

    async def go_on(
        self, connection: Connection, account: Account, session_id: UUID, address: str, spent: str
    ) -> Session:
        """The next pair of a session."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        before = Spent(digest(spent), sealed(token, spent))
        await sessions.go_on(connection, session_id, digest(token), self.session_lifetime, address, before)
        return await self.session(account, session_id, token)

    async def session(self, account: Account, session_id: UUID, token: str) -> Session:
        role = role_of(account, admins_need_totp=self.admins_need_totp)
        return Session(
            user=account.user,
            access_token=await self.keyring.sign(claims(account, role, session_id, new_id(), now())),
            refresh_token=token,
            expires_in=ACCESS_TTL,
        )
