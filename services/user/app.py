"""The user service: composition root."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from pydantic import Field, SecretStr

from contracts import user as contract
from contracts.operation import AnyOperation
from infra.database.postgres import Database, connect
from infra.foundation.background import PeriodicTask
from infra.foundation.settings import PostgresSettings
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.user.deps import UserDeps
from services.user.domain.accounts import LoginLimits, RequestLimits
from services.user.handlers import addresses, administration, api_keys, privacy, profile, second_factor, sessions
from services.user.handlers import passwords as recovering
from services.user.handlers import registration as registering
from services.user.security.email_tokens import EmailTokens
from services.user.security.password_hasher import PasswordHasher
from services.user.security.signing_keys import RELOAD_SECONDS, SigningKeys
from services.user.security.totp import TotpCodes
from services.user.workers import cleanup as pruning
from services.user.workers.erasure_saga import ErasureSaga
from services.user.workers.revocation_publisher import RevocationPublisher, publish_revocations_after

HANDLERS: dict[AnyOperation, Handler] = {
    contract.REGISTER: registering.register,
    contract.LOGIN: sessions.login,
    contract.REFRESH: sessions.refresh,
    contract.LOGOUT: publish_revocations_after(sessions.logout),
    contract.LIST_SESSIONS: sessions.list_sessions,
    contract.END_SESSION: publish_revocations_after(sessions.end_session),
    contract.FORGOT_PASSWORD: recovering.forgot_password,
    contract.RESET_PASSWORD: publish_revocations_after(recovering.reset_password),
    contract.CHANGE_PASSWORD: publish_revocations_after(recovering.change_password),
    contract.REQUEST_VERIFICATION: recovering.request_verification,
    contract.VERIFY_EMAIL: recovering.verify_email,
    contract.PROOF: recovering.get_email_token,
    contract.PROFILE: profile.get_profile,
    contract.UPDATE_PROFILE: profile.update_profile,
    contract.EXPORT: privacy.export,
    contract.ERASE: publish_revocations_after(privacy.erase),
    contract.ERASURE: privacy.get_erasure,
    contract.JWKS: profile.get_jwks,
    contract.ROTATE_KEYS: profile.rotate_keys,
    contract.CONTACT: profile.get_contact,
    contract.START_TOTP: second_factor.start_totp,
    contract.CONFIRM_TOTP: publish_revocations_after(second_factor.confirm_totp),
    contract.RENEW_RECOVERY_CODES: second_factor.renew_recovery_codes,
    contract.DISABLE_TOTP: second_factor.disable_totp,
    contract.REMOVE_TOTP: publish_revocations_after(second_factor.remove_totp),
    contract.LIST_ADDRESSES: addresses.list_addresses,
    contract.ADD_ADDRESS: addresses.add_address,
    contract.REPLACE_ADDRESS: addresses.replace_address,
    contract.REMOVE_ADDRESS: addresses.remove_address,
    contract.ADDRESS: addresses.get_address,
    contract.LIST_USERS: administration.list_users,
    contract.GET_USER: administration.get_user,
    contract.UPDATE_USER: publish_revocations_after(administration.update_user),
    contract.BAN: publish_revocations_after(administration.ban),
    contract.UNBAN: administration.unban,
    contract.LIST_API_KEYS: api_keys.list_api_keys,
    contract.MAKE_API_KEY: api_keys.make_api_key,
    contract.REVOKE_API_KEY: publish_revocations_after(api_keys.revoke_api_key),
    contract.FIND_API_KEY: api_keys.find_api_key,
    contract.MAKE_ADMIN: publish_revocations_after(registering.make_admin),
}


class UserSettings(PostgresSettings):
    keys_secret: SecretStr = Field(min_length=16, description="Seals the keys that sign access tokens.")
    bcrypt_cost: int = Field(12, ge=4, le=16, description="A hash takes 2^cost rounds; each step doubles its time.")
    bcrypt_threads: int = Field(default_factory=lambda: os.cpu_count() or 1, gt=0, description="Hashes at once.")
    bcrypt_patience: float = Field(6.0, gt=0, description="Seconds until a hash is done; an overload beyond.")
    login_failures: int = Field(5, gt=0, description="Failed logins for one account from one address.")
    login_failures_of_address: int = Field(50, gt=0, description="Failed logins from one address.")
    login_window: float = Field(900.0, gt=0, description="Seconds within which failed logins count.")
    refresh_days: float = Field(30.0, gt=0, description="Days a refresh token can be spent.")
    refresh_grace: float = Field(
        10.0, ge=0, le=60, description="Seconds in which a spent one is given its successor once more."
    )
    admins_need_totp: bool = Field(
        default=False, description="An administrator without a second factor may do what a customer may."
    )
    totp_issuer: str = Field("Souk", pattern="^[^:]+$", description="What an authenticator calls the shop.")
    verify_days: float = Field(3.0, gt=0, description="Days a mailed token verifies an e-mail.")
    reset_minutes: float = Field(60.0, gt=0, description="Minutes a mailed token sets a new password.")
    mails_of_account: int = Field(3, gt=0, description="Such mails to one account within the window.")
    requests_of_address: int = Field(
        50, gt=0, description="Such mails asked for, or e-mails found taken, from one address within the window."
    )
    erase_wait: float = Field(
        30.0,
        gt=0,
        description="Seconds until erasing begins: longer than a request (SOUK_EDGE_TIMEOUT) and its last statement.",
    )
    requests_window: float = Field(900.0, gt=0, description="Seconds within which they count.")


@asynccontextmanager
async def open_store(settings: UserSettings, name: str) -> AsyncIterator[Database]:
    """The service's database, with signing keys in it that can be opened; it is no use to start otherwise."""
    async with connect(settings, name) as database:
        await SigningKeys(database, settings.keys_secret).reload()
        yield database


def build_deps(
    resources: Resources[UserSettings, Database], wake_reset_mailer: Callable[[], None] = lambda: None
) -> UserDeps:
    settings = resources.settings
    return UserDeps(
        db=resources.store,
        password_hasher=PasswordHasher(
            settings.bcrypt_cost,
            threads=settings.bcrypt_threads,
            max_wait_seconds=settings.bcrypt_patience,
            registry=resources.metrics.registry,
        ),
        signing_keys=SigningKeys(resources.store, settings.keys_secret),
        login_limits=LoginLimits(settings.login_failures, settings.login_failures_of_address, settings.login_window),
        request_limits=RequestLimits(settings.mails_of_account, settings.requests_of_address, settings.requests_window),
        session_lifetime=timedelta(days=settings.refresh_days),
        refresh_grace_seconds=settings.refresh_grace,
        email_tokens=build_email_tokens(settings),
        pepper=derive_key(b"login", settings),
        revocation_publisher=RevocationPublisher(resources.store, resources.nats),
        rpc=resources.rpc,
        erase_delay_seconds=settings.erase_wait,
        totp=build_totp(settings),
        admins_need_totp=settings.admins_need_totp,
        wake_reset_mailer=wake_reset_mailer,
    )


def build_email_tokens(settings: UserSettings) -> EmailTokens:
    return EmailTokens(
        derive_key(b"proof", settings),
        verify_lifetime=timedelta(days=settings.verify_days),
        reset_lifetime=timedelta(minutes=settings.reset_minutes),
    )


def build_totp(settings: UserSettings) -> TotpCodes:
    return TotpCodes(derive_key(b"totp", settings), derive_key(b"recovery", settings), settings.totp_issuer)


def derive_key(purpose: bytes, settings: UserSettings) -> bytes:
    """A key of its own for each purpose, made of the one secret."""
    return hashlib.sha256(purpose + b"\0" + settings.keys_secret.get_secret_value().encode()).digest()


def build(resources: Resources[UserSettings, Database]) -> ServiceParts:
    forgotten = partial(recovering.issue_next_reset, resources.store, build_email_tokens(resources.settings))
    mailroom = PeriodicTask("forgotten passwords", forgotten, interval_seconds=1)
    desk = build_deps(resources, mailroom.wake)
    eraser = ErasureSaga(resources.store, resources.rpc, desk.pepper, resources.settings.erase_wait)
    workers = [
        mailroom,
        PeriodicTask("ended sessions", desk.revocation_publisher.publish_pending, interval_seconds=1),
        PeriodicTask("erasures", eraser.run_next, interval_seconds=1),
        PeriodicTask("signing keys", desk.signing_keys.reload, interval_seconds=RELOAD_SECONDS),
        PeriodicTask("forgetting", partial(pruning.delete_expired, desk), interval_seconds=600),
    ]
    return ServiceParts(desk, HANDLERS, workers=workers)


SERVICE = ServiceDefinition("user", UserSettings, open_store, build)

if __name__ == "__main__":
    SERVICE.main()
