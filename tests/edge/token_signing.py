"""Access tokens as the user service signs them, and forged ones."""

import base64
import hashlib
import hmac
import time
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from contracts.user import ACCESS_TOKEN_TYPE, TOKEN_ALGORITHM, TOKEN_AUDIENCE, TOKEN_ISSUER, Jwks

SUBJECT = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"


class TokenSigner:
    """Signs tokens with one RSA key."""

    def __init__(self, kid: str = "key-1") -> None:
        self.kid = kid
        self.key: RSAPrivateKey = generate_private_key(65537, 2048)

    def jwk(self) -> dict[str, Any]:
        public: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": TOKEN_ALGORITHM}

    def jwks(self) -> Jwks:
        return Jwks(keys=[self.jwk()])

    def public_pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form)

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        merged = {name: value for name, value in {**valid_claims(), **claims}.items() if value is not None}
        return jwt.encode(merged, self.key, TOKEN_ALGORITHM, {"kid": self.kid, **(header or {})})


def valid_claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": TOKEN_ISSUER,
        "aud": TOKEN_AUDIENCE,
        "sub": SUBJECT,
        "role": "customer",
        "typ": ACCESS_TOKEN_TYPE,
        "iat": now,
        "exp": now + 900,
    }


def unsigned_token(claims: dict[str, Any], alg: str = "none", kid: Any = "key-1", signature: bytes = b"") -> str:
    parts = (orjson.dumps({"alg": alg, "kid": kid, "typ": "JWT"}), orjson.dumps(claims), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def hmac_signed_token(claims: dict[str, Any], secret: bytes, kid: str = "key-1") -> str:
    """Signs with HS256 and the public key as the secret: the classic algorithm confusion."""
    token = unsigned_token(claims, "HS256", kid).rstrip(".")
    digest = hmac.digest(secret, token.encode(), hashlib.sha256)
    return f"{token}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
