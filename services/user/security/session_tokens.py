"""The tokens of a session: an access token, signed, and a refresh token, stored as its digest alone."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from contracts.user import ACCESS_TOKEN_TTL_SECONDS, SessionTokens
from infra.database.postgres import Connection
from infra.foundation.ids import new_id, now
from services.user.domain.accounts import AccountRecord, effective_role
from services.user.domain.tokens import access_token_claims, hash_token
from services.user.security.refresh_grace import seal_successor
from services.user.security.signing_keys import SigningKeys
from services.user.store import sessions
from services.user.store.sessions import SpentToken

REFRESH_TOKEN_BYTES = 32


@dataclass(frozen=True)
class SessionIssuer:
    """Opens sessions and issues their tokens."""

    signing_keys: SigningKeys
    session_lifetime: timedelta
    admins_need_totp: bool

    async def open_session(self, connection: Connection, account: AccountRecord, client_ip: str) -> SessionTokens:
        """Opens a session for the account and returns its first pair of tokens."""
        session_id, token = new_id(), secrets.token_urlsafe(REFRESH_TOKEN_BYTES)
        digest = hash_token(token)
        await sessions.create(connection, session_id, account.id, digest, self.session_lifetime, client_ip)
        return await self.issue(account, session_id, token)

    async def rotate(
        self, connection: Connection, account: AccountRecord, session_id: UUID, client_ip: str, spent_token: str
    ) -> SessionTokens:
        """Returns the next pair of tokens of a session, in exchange for a spent refresh token."""
        token = secrets.token_urlsafe(REFRESH_TOKEN_BYTES)
        spent = SpentToken(hash_token(spent_token), seal_successor(token, spent_token))
        await sessions.rotate(connection, session_id, hash_token(token), self.session_lifetime, client_ip, spent)
        return await self.issue(account, session_id, token)

    async def issue(self, account: AccountRecord, session_id: UUID, refresh_token: str) -> SessionTokens:
        """Returns the refresh token together with a new access token."""
        role = effective_role(account, admins_need_totp=self.admins_need_totp)
        claims = access_token_claims(account, role, session_id, new_id(), now())
        return SessionTokens(
            user=account.to_contract(),
            access_token=await self.signing_keys.sign(claims),
            refresh_token=refresh_token,
            expires_in=ACCESS_TOKEN_TTL_SECONDS,
        )
