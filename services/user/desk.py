"""What the handlers of this service work with."""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from contracts.user import ACCESS_TTL, Session
from infra.ids import new_id, now
from infra.postgres import Connection, Database
from services.user.domain import Account, Limits, claims, digest
from services.user.keyring import Keyring
from services.user.passwords import Hasher
from services.user.store import sessions

TOKEN_BYTES = 32


@dataclass(frozen=True)
class Desk:
    db: Database
    hasher: Hasher
    keyring: Keyring
    limits: Limits
    session_lifetime: timedelta
    pepper: bytes = field(repr=False)
    """The key of the digests by which failed logins are kept."""

    async def sign_in(self, connection: Connection, account: Account) -> Session:
        """A new session."""
        session_id, token = new_id(), secrets.token_urlsafe(TOKEN_BYTES)
        await sessions.open_new(connection, session_id, account.id, digest(token), self.session_lifetime)
        return await self._session(account, session_id, token)

    async def go_on(self, connection: Connection, account: Account, session_id: UUID) -> Session:
        """The next pair of a session."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await sessions.go_on(connection, session_id, digest(token), self.session_lifetime)
        return await self._session(account, session_id, token)

    async def _session(self, account: Account, session_id: UUID, token: str) -> Session:
        return Session(
            user=account.user,
            access_token=await self.keyring.sign(claims(account, session_id, new_id(), now())),
            refresh_token=token,
            expires_in=ACCESS_TTL,
        )
