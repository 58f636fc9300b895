"""What the handlers and workers of the user service use, and how it is built from the settings."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from infra.database.postgres import Database
from infra.messaging.rpc_client import RpcClient
from infra.runtime.service import Resources
from services.user.domain.attempt_limits import LoginLimits, RequestLimits
from services.user.security.account_probing_throttle import RequestThrottle
from services.user.security.email_tokens import EmailTokens
from services.user.security.login_throttle import LoginThrottle
from services.user.security.password_hasher import PasswordHasher
from services.user.security.second_factor_verifier import CodeVerifier
from services.user.security.session_tokens import SessionIssuer
from services.user.security.signing_keys import SigningKeys
from services.user.security.totp import TotpCodes
from services.user.settings import UserSettings


@dataclass(frozen=True)
class UserDeps:
    """The parts that handlers and workers share."""

    db: Database
    rpc: RpcClient
    """For requests to the other services that hold data of a customer."""
    password_hasher: PasswordHasher
    signing_keys: SigningKeys
    session_issuer: SessionIssuer
    email_tokens: EmailTokens
    totp: TotpCodes
    login_throttle: LoginThrottle
    code_verifier: CodeVerifier
    request_throttle: RequestThrottle
    pepper: bytes = field(repr=False)
    """Key of the digests under which failed logins and counted requests are stored."""
    refresh_grace_seconds: float
    """How long a spent refresh token still returns its successor, for a client that lost the reply."""
    erase_delay_seconds: float
    """How long an erasure waits before it starts."""
    admins_need_totp: bool
    """Whether an administrator without a second factor acts as a customer."""
    smtp_utf8: bool
    """Whether the mail server can mail names beyond ASCII."""
    publish_revocations: Callable[[], Awaitable[None]]
    """Tells the edges which sessions and API keys have ended."""
    wake_reset_mailer: Callable[[], None]
    """Wakes the worker that looks up forgotten passwords."""


def build_deps(
    resources: Resources[UserSettings, Database],
    *,
    publish_revocations: Callable[[], Awaitable[None]],
    wake_reset_mailer: Callable[[], None] = lambda: None,
) -> UserDeps:
    """Builds the parts from the settings."""
    settings, db = resources.settings, resources.store
    signing_keys = SigningKeys(db, settings.keys_secret)
    totp = TotpCodes(derive_key(b"totp", settings), derive_key(b"recovery", settings), settings.totp_issuer)
    throttle = LoginThrottle(
        db, LoginLimits(settings.login_failures, settings.login_failures_of_address, settings.login_window)
    )
    return UserDeps(
        db=db,
        rpc=resources.rpc,
        password_hasher=PasswordHasher(
            settings.bcrypt_cost,
            threads=settings.bcrypt_threads,
            max_wait_seconds=settings.bcrypt_patience,
            registry=resources.metrics.registry,
        ),
        signing_keys=signing_keys,
        session_issuer=SessionIssuer(signing_keys, timedelta(days=settings.refresh_days), settings.admins_need_totp),
        email_tokens=build_email_tokens(settings),
        totp=totp,
        login_throttle=throttle,
        code_verifier=CodeVerifier(db, throttle, totp),
        request_throttle=RequestThrottle(
            db, RequestLimits(settings.mails_of_account, settings.requests_of_address, settings.requests_window)
        ),
        pepper=derive_key(b"login", settings),
        refresh_grace_seconds=settings.refresh_grace,
        erase_delay_seconds=settings.erase_wait,
        admins_need_totp=settings.admins_need_totp,
        smtp_utf8=settings.smtp_utf8,
        publish_revocations=publish_revocations,
        wake_reset_mailer=wake_reset_mailer,
    )


def build_email_tokens(settings: UserSettings) -> EmailTokens:
    """Builds the issuer of mailed tokens."""
    return EmailTokens(
        derive_key(b"proof", settings),
        verify_lifetime=timedelta(days=settings.verify_days),
        reset_lifetime=timedelta(minutes=settings.reset_minutes),
    )


def derive_key(purpose: bytes, settings: UserSettings) -> bytes:
    """Derives a separate key for each purpose from the one secret."""
    return hashlib.sha256(purpose + b"\0" + settings.keys_secret.get_secret_value().encode()).digest()
