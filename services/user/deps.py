"""What the handlers of this service work with."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from contracts.user import ACCESS_TOKEN_TTL_SECONDS, SessionTokens
from infra.database.postgres import Connection, Database
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import RpcClient
from services.user.domain.accounts import (
    AccountRecord,
    LoginLimits,
    RequestLimits,
    access_token_claims,
    effective_role,
    hash_token,
)
from services.user.security.email_tokens import EmailTokens
from services.user.security.password_hasher import PasswordHasher
from services.user.security.refresh_grace import seal_successor
from services.user.security.signing_keys import SigningKeys
from services.user.security.totp import TotpCodes
from services.user.store import sessions
from services.user.store.sessions import SpentToken
from services.user.workers.revocation_publisher import RevocationPublisher

TOKEN_BYTES = 32


@dataclass(frozen=True)
class UserDeps:
    db: Database
    password_hasher: PasswordHasher
    signing_keys: SigningKeys
    login_limits: LoginLimits
    request_limits: RequestLimits
    session_lifetime: timedelta
    refresh_grace_seconds: float
    """Seconds in which a spent refresh token is taken for one whose reply was lost."""
    email_tokens: EmailTokens
    pepper: bytes = field(repr=False)
    """The key of the digests by which failed logins and other requests are kept."""
    revocation_publisher: RevocationPublisher
    rpc: RpcClient
    """Asks the other services what they hold on somebody."""
    erase_delay_seconds: float
    """Seconds until what is held on somebody begins to be erased."""
    totp: TotpCodes
    admins_need_totp: bool
    """An administrator without a second factor is signed in as a customer."""
    wake_reset_mailer: Callable[[], None]
    """Somebody has forgotten a password."""

    async def sign_in(self, connection: Connection, account: AccountRecord, address: str) -> SessionTokens:
        """A new session."""
        session_id, token = new_id(), secrets.token_urlsafe(TOKEN_BYTES)
        await sessions.create(connection, session_id, account.id, hash_token(token), self.session_lifetime, address)
        return await self.issue(account, session_id, token)

    async def rotate(
        self, connection: Connection, account: AccountRecord, session_id: UUID, address: str, spent_token: str
    ) -> SessionTokens:
        """The next pair of a session."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        before = SpentToken(hash_token(spent_token), seal_successor(token, spent_token))
        await sessions.rotate(connection, session_id, hash_token(token), self.session_lifetime, address, before)
        return await self.issue(account, session_id, token)

    async def issue(self, account: AccountRecord, session_id: UUID, token: str) -> SessionTokens:
        role = effective_role(account, admins_need_totp=self.admins_need_totp)
        return SessionTokens(
            user=account.user,
            access_token=await self.signing_keys.sign(access_token_claims(account, role, session_id, new_id(), now())),
            refresh_token=token,
            expires_in=ACCESS_TOKEN_TTL_SECONDS,
        )
