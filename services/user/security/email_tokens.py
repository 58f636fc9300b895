"""Mailed tokens: each is derived from a random seed in the database and a secret outside it.

The token itself is stored nowhere. It is derived again when notification requests it, to be mailed at once. A token
that comes back is recognized by its digest.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from contracts.user import EmailTokenPurpose
from infra.database.postgres import Connection
from infra.foundation.ids import new_id
from services.user.domain.tokens import hash_token
from services.user.store import email_tokens
from services.user.store.email_tokens import EmailTokenRecord

SEED_BYTES = 32


@dataclass(frozen=True)
class EmailTokens:
    """Issues mailed tokens and derives them for the mail."""

    key: bytes = field(repr=False)
    verify_lifetime: timedelta
    reset_lifetime: timedelta

    async def issue(self, connection: Connection, account_id: UUID, purpose: EmailTokenPurpose) -> UUID:
        """Stores a new token, voids the previous one for the same purpose, and returns the id that events carry."""
        token_id, seed = new_id(), secrets.token_bytes(SEED_BYTES)
        verifies = purpose is EmailTokenPurpose.VERIFY_EMAIL
        await email_tokens.save(
            connection,
            token_id,
            account_id,
            purpose,
            seed=seed,
            digest=hash_token(self._derive(seed, purpose)),
            lifetime=self.verify_lifetime if verifies else self.reset_lifetime,
        )
        return token_id

    def token_for(self, record: EmailTokenRecord) -> str:
        """Returns the token to be mailed."""
        return self._derive(record.seed, record.purpose)

    def _derive(self, seed: bytes, purpose: EmailTokenPurpose) -> str:
        token = hmac.digest(self.key, purpose.encode() + b"\0" + seed, hashlib.sha256)
        return base64.urlsafe_b64encode(token).decode().rstrip("=")
