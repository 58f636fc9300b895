"""How mailed tokens are made: from a random seed in the database and a secret outside of it.

The token itself is kept nowhere. It is made anew when notification asks for it, to be mailed at once; whoever brings it
back is known by its digest.
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
from services.user.domain.accounts import hash_token
from services.user.store import email_tokens as proofs
from services.user.store.email_tokens import EmailTokenRecord

SEED_BYTES = 32


@dataclass(frozen=True)
class EmailTokens:
    key: bytes = field(repr=False)
    verify_lifetime: timedelta
    reset_lifetime: timedelta

    async def issue(self, connection: Connection, account_id: UUID, purpose: EmailTokenPurpose) -> UUID:
        """A new proof, for an event to name."""
        proof_id, seed = new_id(), secrets.token_bytes(SEED_BYTES)
        lifetime = self.verify_lifetime if purpose is EmailTokenPurpose.VERIFY_EMAIL else self.reset_lifetime
        await proofs.save(
            connection,
            proof_id,
            account_id,
            purpose,
            seed=seed,
            digest=hash_token(self._token(seed, purpose)),
            lifetime=lifetime,
        )
        return proof_id

    def token_for(self, letter: EmailTokenRecord) -> str:
        return self._token(letter.seed, letter.purpose)

    def _token(self, seed: bytes, purpose: EmailTokenPurpose) -> str:
        made = hmac.digest(self.key, purpose.encode() + b"\0" + seed, hashlib.sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")
