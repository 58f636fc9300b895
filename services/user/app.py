"""The user service: which handler answers each operation, and what runs in the background."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from contracts import user as contract
from contracts.operation import AnyOperation
from infra.database.postgres import Database, connect
from infra.foundation.background import PeriodicTask
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.user.deps import build_deps, build_email_tokens
from services.user.handlers import (
    account_creation,
    addresses,
    administration,
    api_keys,
    email_tokens,
    passwords,
    privacy,
    profile,
    second_factor,
    sessions,
    signing_keys,
)
from services.user.security.signing_keys import RELOAD_SECONDS, SigningKeys
from services.user.settings import UserSettings
from services.user.workers import cleanup, reset_mailer
from services.user.workers.erasure_saga import ErasureSaga
from services.user.workers.revocation_publisher import RevocationPublisher, publish_revocations_after

HANDLERS: dict[AnyOperation, Handler] = {
    contract.REGISTER: account_creation.register,
    contract.LOGIN: sessions.login,
    contract.REFRESH: sessions.refresh,
    contract.LOGOUT: publish_revocations_after(sessions.logout),
    contract.LIST_SESSIONS: sessions.list_sessions,
    contract.END_SESSION: publish_revocations_after(sessions.end_session),
    contract.FORGOT_PASSWORD: passwords.forgot_password,
    contract.RESET_PASSWORD: publish_revocations_after(passwords.reset_password),
    contract.CHANGE_PASSWORD: publish_revocations_after(passwords.change_password),
    contract.REQUEST_VERIFICATION: email_tokens.request_verification,
    contract.VERIFY_EMAIL: email_tokens.verify_email,
    contract.PROOF: email_tokens.get_email_token,
    contract.PROFILE: profile.get_profile,
    contract.UPDATE_PROFILE: profile.update_profile,
    contract.EXPORT: privacy.export,
    contract.ERASE: publish_revocations_after(privacy.erase),
    contract.ERASURE: privacy.get_erasure,
    contract.JWKS: signing_keys.get_jwks,
    contract.ROTATE_KEYS: signing_keys.rotate_keys,
    contract.CONTACT: profile.get_contact,
    contract.CONTACTS: profile.list_contacts,
    contract.FIND_ACCOUNT: profile.find_account,
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
    contract.MAKE_ADMIN: publish_revocations_after(account_creation.make_admin),
}


@asynccontextmanager
async def open_store(settings: UserSettings, name: str) -> AsyncIterator[Database]:
    """Connects to the service's database; fails at start when its signing keys cannot be decrypted."""
    async with connect(settings, name) as database:
        await SigningKeys(database, settings.keys_secret).reload()
        yield database


def build(resources: Resources[UserSettings, Database]) -> ServiceParts:
    """Composes the service: its dependencies, handlers and background tasks."""
    db = resources.store
    publisher = RevocationPublisher(db, resources.nats)
    issue_next_reset = partial(reset_mailer.issue_next_reset, db, build_email_tokens(resources.settings))
    reset_task = PeriodicTask("password resets", issue_next_reset, interval_seconds=5)
    deps = build_deps(resources, publish_revocations=publisher.publish_now, wake_reset_mailer=reset_task.wake)
    saga = ErasureSaga(db, resources.rpc, deps.pepper, deps.erase_delay_seconds)
    workers = [
        reset_task,
        PeriodicTask("revocations", publisher.publish_pending, interval_seconds=1),
        PeriodicTask("erasures", saga.run_next, interval_seconds=1),
        PeriodicTask("signing keys", deps.signing_keys.reload, interval_seconds=RELOAD_SECONDS),
        PeriodicTask("cleanup", partial(cleanup.delete_expired, deps), interval_seconds=600),
    ]
    return ServiceParts(deps, workers)


SERVICE = ServiceDefinition("user", UserSettings, open_store, build, HANDLERS)
app = SERVICE.application()

if __name__ == "__main__":
    SERVICE.main()
