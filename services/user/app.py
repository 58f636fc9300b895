"""The user service: composition root."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from pydantic import Field, SecretStr

from contracts import user as contract
from contracts.operation import AnyOperation
from infra.actor import Handler
from infra.postgres import Database, connect
from infra.run import Kit, Room, Service
from infra.settings import PostgresSettings
from infra.worker import Worker
from services.user import pruning
from services.user.desk import Desk
from services.user.domain import Limits
from services.user.handlers import profile, registering, sessions
from services.user.keyring import Keyring
from services.user.passwords import Hasher

ASKS: dict[AnyOperation, Handler] = {
    contract.REGISTER: registering.register,
    contract.LOGIN: sessions.login,
    contract.REFRESH: sessions.refresh,
    contract.LOGOUT: sessions.logout,
    contract.PROFILE: profile.profile,
    contract.UPDATE_PROFILE: profile.update_profile,
    contract.JWKS: profile.jwks,
    contract.CONTACT: profile.contact,
    contract.MAKE_ADMIN: registering.make_admin,
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


@asynccontextmanager
async def opened(settings: UserSettings, name: str) -> AsyncIterator[Database]:
    """The service's database, with signing keys in it that can be opened; it is no use to start otherwise."""
    async with connect(settings, name) as database:
        await Keyring(database, settings.keys_secret).reload()
        yield database


def furnish(kit: Kit[UserSettings, Database]) -> Desk:
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
        session_lifetime=timedelta(days=settings.refresh_days),
        pepper=hashlib.sha256(b"login\0" + settings.keys_secret.get_secret_value().encode()).digest(),
    )


def build(kit: Kit[UserSettings, Database]) -> Room:
    desk = furnish(kit)
    workers = [
        Worker("signing keys", desk.keyring.reload, every=60),
        Worker("forgetting", partial(pruning.forget, desk), every=600),
    ]
    return Room(desk, ASKS, workers=workers)


SERVICE = Service("user", UserSettings, opened, build)

if __name__ == "__main__":
    SERVICE.main()
