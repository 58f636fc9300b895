"""The caller's own account, and the password that they enter once more before something that cannot be undone."""

from typing import Any

from pydantic import SecretStr

from contracts.failure import NotFound
from contracts.user import InvalidCode, SecondFactorRequired, WrongCode, WrongPassword
from infra.database.postgres import Connection
from infra.messaging.rpc_client import Request
from services.user.deps import UserDeps
from services.user.domain.accounts import AccountRecord
from services.user.domain.attempt_limits import ThrottleKey, throttle_key
from services.user.domain.second_factor import VerifiedCode
from services.user.store import accounts


async def load_own_account(deps: UserDeps, request: Request[Any]) -> tuple[AccountRecord, ThrottleKey]:
    """Returns the caller's account and throttle key, unless too many attempts failed from the caller's address."""
    async with deps.db.connection() as connection:
        account = await accounts.by_id(connection, request.user.user_id)
        if account is None:
            raise NotFound
        key = throttle_key(account.email, request.client_ip, deps.pepper)
        await deps.login_throttle.require_allowed(connection, key)
    return account, key


async def reauthenticate(
    deps: UserDeps, account: AccountRecord, key: ThrottleKey, password: SecretStr, code: SecretStr | None
) -> VerifiedCode | None:
    """Checks the password, and the code where the account has a second factor. The code is not used up yet.

    Raises `WrongPassword` or `WrongCode`: the caller stays signed in, but may not do this. Failures count as failed
    logins do.
    """
    if not await deps.password_hasher.verify(password, account.password_hash):
        await deps.login_throttle.count_wrong_password(key)
        raise WrongPassword
    if not account.totp:
        return None
    try:
        return await deps.code_verifier.verify(account, key, code)
    except SecondFactorRequired:
        raise WrongCode("Send `code` with an authenticator code or a recovery code.") from None
    except InvalidCode:
        raise WrongCode from None


async def lock_reauthenticated(
    deps: UserDeps, connection: Connection, account: AccountRecord, code: VerifiedCode | None
) -> None:
    """Locks the account as it was reauthenticated, and uses the code up; raises `WrongPassword` or `WrongCode` when a
    concurrent request has changed the password or used the code.
    """
    if not await accounts.lock_if_unchanged(connection, account):
        is_gone = await accounts.by_id(connection, account.id) is None
        raise NotFound if is_gone else WrongPassword
    try:
        if code is not None:
            await deps.code_verifier.consume(connection, account, code)
    except InvalidCode:
        raise WrongCode from None
