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
from infra.foundation.background import Worker
from infra.foundation.settings import PostgresSettings
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Kit, Room, Service
from services.user.deps import Desk
from services.user.domain.accounts import Limits, RequestLimits
from services.user.handlers import addresses, administration, api_keys, privacy, profile, second_factor, sessions
from services.user.handlers import passwords as recovering
from services.user.handlers import registration as registering
from services.user.security.email_tokens import Prover
from services.user.security.password_hasher import Hasher
from services.user.security.signing_keys import RELOAD, Keyring
from services.user.security.totp import Authenticators
from services.user.workers import cleanup as pruning
from services.user.workers.erasure_saga import Eraser
from services.user.workers.revocation_publisher import Teller, telling

ASKS: dict[AnyOperation, Handler] = {
    contract.REGISTER: registering.register,
    contract.LOGIN: sessions.login,
    contract.REFRESH: sessions.refresh,
    contract.LOGOUT: telling(sessions.logout),
    contract.LIST_SESSIONS: sessions.list_sessions,
    contract.END_SESSION: telling(sessions.end_session),
    contract.FORGOT_PASSWORD: recovering.forgot_password,
    contract.RESET_PASSWORD: telling(recovering.reset_password),
    contract.CHANGE_PASSWORD: telling(recovering.change_password),
    contract.REQUEST_VERIFICATION: recovering.request_verification,
    contract.VERIFY_EMAIL: recovering.verify_email,
    contract.PROOF: recovering.proof,
    contract.PROFILE: profile.profile,
    contract.UPDATE_PROFILE: profile.update_profile,
    contract.EXPORT: privacy.export,
    contract.ERASE: telling(privacy.erase),
    contract.ERASURE: privacy.erasure,
    contract.JWKS: profile.jwks,
    contract.ROTATE_KEYS: profile.rotate_keys,
    contract.CONTACT: profile.contact,
    contract.START_TOTP: second_factor.start_totp,
    contract.CONFIRM_TOTP: telling(second_factor.confirm_totp),
    contract.RENEW_RECOVERY_CODES: second_factor.renew_recovery_codes,
    contract.DISABLE_TOTP: second_factor.disable_totp,
    contract.REMOVE_TOTP: telling(second_factor.remove_totp),
    contract.LIST_ADDRESSES: addresses.list_addresses,
    contract.ADD_ADDRESS: addresses.add_address,
    contract.REPLACE_ADDRESS: addresses.replace_address,
    contract.REMOVE_ADDRESS: addresses.remove_address,
    contract.ADDRESS: addresses.address,
    contract.LIST_USERS: administration.list_users,
    contract.GET_USER: administration.get_user,
    contract.UPDATE_USER: telling(administration.update_user),
    contract.BAN: telling(administration.ban),
    contract.UNBAN: administration.unban,
    contract.LIST_API_KEYS: api_keys.list_api_keys,
    contract.MAKE_API_KEY: api_keys.make_api_key,
    contract.REVOKE_API_KEY: telling(api_keys.revoke_api_key),
    contract.FIND_API_KEY: api_keys.find_api_key,
    contract.MAKE_ADMIN: telling(registering.make_admin),
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
async def opened(settings: UserSettings, name: str) -> AsyncIterator[Database]:
    """The service's database, with signing keys in it that can be opened; it is no use to start otherwise."""
    async with connect(settings, name) as database:
        await Keyring(database, settings.keys_secret).reload()
        yield database


def furnish(kit: Kit[UserSettings, Database], wake_mailroom: Callable[[], None] = lambda: None) -> Desk:
    settings = kit.settings
    return Desk(
        db=kit.store,
        hasher=Hasher(
            settings.bcrypt_cost,
            threads=settings.bcrypt_threads,
            patience=settings.bcrypt_patience,
            registry=kit.metrics.registry,
        ),
        keyring=Keyring(kit.store, settings.keys_secret),
        limits=Limits(settings.login_failures, settings.login_failures_of_address, settings.login_window),
        request_limits=RequestLimits(settings.mails_of_account, settings.requests_of_address, settings.requests_window),
        session_lifetime=timedelta(days=settings.refresh_days),
        refresh_grace=settings.refresh_grace,
        prover=prover_of(settings),
        pepper=key_for(b"login", settings),
        teller=Teller(kit.store, kit.client),
        asker=kit.asker,
        erase_wait=settings.erase_wait,
        authenticators=authenticators_of(settings),
        admins_need_totp=settings.admins_need_totp,
        wake_mailroom=wake_mailroom,
    )


def prover_of(settings: UserSettings) -> Prover:
    return Prover(
        key_for(b"proof", settings),
        verify_lifetime=timedelta(days=settings.verify_days),
        reset_lifetime=timedelta(minutes=settings.reset_minutes),
    )


def authenticators_of(settings: UserSettings) -> Authenticators:
    return Authenticators(key_for(b"totp", settings), key_for(b"recovery", settings), settings.totp_issuer)


def key_for(purpose: bytes, settings: UserSettings) -> bytes:
    """A key of its own for each purpose, made of the one secret."""
    return hashlib.sha256(purpose + b"\0" + settings.keys_secret.get_secret_value().encode()).digest()


def build(kit: Kit[UserSettings, Database]) -> Room:
    forgotten = partial(recovering.answer_forgotten, kit.store, prover_of(kit.settings))
    mailroom = Worker("forgotten passwords", forgotten, every=1)
    desk = furnish(kit, mailroom.wake)
    eraser = Eraser(kit.store, kit.asker, desk.pepper, kit.settings.erase_wait)
    workers = [
        mailroom,
        Worker("ended sessions", desk.teller.tell, every=1),
        Worker("erasures", eraser.work, every=1),
        Worker("signing keys", desk.keyring.reload, every=RELOAD),
        Worker("forgetting", partial(pruning.forget, desk), every=600),
    ]
    return Room(desk, ASKS, workers=workers)


SERVICE = Service("user", UserSettings, opened, build)

if __name__ == "__main__":
    SERVICE.main()
