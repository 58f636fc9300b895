"""Forgotten and changed passwords.

A request for a forgotten password gets the same reply in the same time whether or not the e-mail has an account: it
only queues the e-mail, and a background task looks it up afterwards.
"""

from contracts.model import Empty
from contracts.user import (
    ChangePassword,
    EmailTokenPurpose,
    EmailVerified,
    ForgotPassword,
    InvalidCredentials,
    InvalidEmailToken,
    PasswordChanged,
    ResetPassword,
)
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.domain.attempt_limits import throttle_key
from services.user.domain.emails import normalize_email
from services.user.domain.passwords import validate_password
from services.user.domain.tokens import hash_token
from services.user.handlers.reauthentication import load_own_account
from services.user.store import accounts, email_tokens, sessions


async def forgot_password(deps: UserDeps, request: Request[ForgotPassword]) -> Reply[Empty]:
    """Queues a reset mail. Too many for one account are dropped silently; too many from one address are refused."""
    key = throttle_key(request.body.email, request.client_ip, deps.pepper)
    async with deps.db.transaction(request) as tx:
        if await deps.request_throttle.count_token_mail(tx.connection, key):
            await email_tokens.enqueue_reset(tx.connection, normalize_email(request.body.email))
        tx.on_commit(deps.wake_reset_mailer)
        return tx.reply(Empty())


async def reset_password(deps: UserDeps, request: Request[ResetPassword]) -> Reply[Empty]:
    """Sets a new password with a mailed token, which also verifies the e-mail. All sessions end."""
    digest, password = hash_token(request.body.token.get_secret_value()), request.body.password
    async with deps.db.connection() as connection:
        account = await email_tokens.find_account(connection, digest, EmailTokenPurpose.RESET_PASSWORD)
    validate_password(account.email, password)
    password_hash = await deps.password_hasher.hash(password)
    async with deps.db.transaction(request) as tx:
        await email_tokens.consume(tx.connection, digest, EmailTokenPurpose.RESET_PASSWORD)
        await sessions.lock_sessions(tx.connection, account.id)
        if not await accounts.set_password(tx.connection, account.id, password_hash, email_verified=True):
            raise InvalidEmailToken
        await sessions.end_all(tx.connection, account.id)
        tx.authenticated_as(account.id, account.role)
        tx.publish(PasswordChanged(user_id=account.id))
        if not account.email_verified:
            tx.publish(EmailVerified(user_id=account.id))
        return tx.reply(Empty())


async def change_password(deps: UserDeps, request: Request[ChangePassword]) -> Reply[Empty]:
    """Sets a new password with the current one. The caller's session stays, the others end."""
    body, throttle = request.body, deps.login_throttle
    account, key = await load_own_account(deps, request)
    validate_password(account.email, body.new_password, "/new_password")
    if not await deps.password_hasher.verify(body.current_password, account.password_hash):
        await throttle.reject_password(key)
    password_hash = await deps.password_hasher.hash(body.new_password)
    async with deps.db.transaction(request) as tx:
        await throttle.lock_and_require_allowed(tx.connection, key)
        await sessions.lock_sessions(tx.connection, account.id)
        if not await accounts.lock_if_unchanged(tx.connection, account):
            raise InvalidCredentials
        await accounts.set_password(tx.connection, account.id, password_hash)
        await sessions.end_all(tx.connection, account.id, except_session_id=request.user.session_id)
        await email_tokens.revoke(tx.connection, account.id, EmailTokenPurpose.RESET_PASSWORD)
        tx.publish(PasswordChanged(user_id=account.id))
        return tx.reply(Empty())
