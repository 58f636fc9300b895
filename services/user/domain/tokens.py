"""Tokens: what an access token claims, and the digest under which other tokens are stored."""

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.identity import Role
from contracts.user import ACCESS_TOKEN_TTL_SECONDS, ACCESS_TOKEN_TYPE, TOKEN_AUDIENCE, TOKEN_ISSUER
from services.user.domain.accounts import AccountRecord


def access_token_claims(
    account: AccountRecord, role: Role, session_id: UUID, token_id: UUID, now: datetime
) -> dict[str, Any]:
    """Returns the claims of an access token (RFC 7519)."""
    issued_at = int(now.timestamp())
    return {
        "iss": TOKEN_ISSUER,
        "aud": TOKEN_AUDIENCE,
        "sub": str(account.id),
        "role": role,
        "sid": str(session_id),
        "jti": str(token_id),
        "typ": ACCESS_TOKEN_TYPE,
        "iat": issued_at,
        "exp": issued_at + ACCESS_TOKEN_TTL_SECONDS,
    }


def hash_token(token: str) -> bytes:
    """Returns the stored form of a token or API key: SHA-256 is enough, since each has 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
