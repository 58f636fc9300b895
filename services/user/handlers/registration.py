"""Opening accounts."""

from contracts.identity import Role
from contracts.user import (
    EmailTaken,
    EmailTokenPurpose,
    MakeAdmin,
    Register,
    SessionTokens,
    TooManyAttempts,
    User,
    UserRegistered,
    VerificationRequested,
)
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.domain.accounts import ThrottleKey
from services.user.store import accounts
from services.user.store import request_counts as requests
from services.user.store.request_counts import CountedRequest


async def register(desk: UserDeps, ask: Request[Register]) -> Reply[SessionTokens]:
    """Opens a customer's account and signs in. A token that verifies the e-mail is mailed."""
    key = domain.validate_registration(ask.body.email, ask.body.password)
    attempt = domain.throttle_key(ask.body.email, ask.client_ip, desk.pepper)
    await _refuse_if_curious(desk, attempt)
    password_hash = await desk.password_hasher.hash(ask.body.password)
    try:
        return await _register(desk, ask, key, password_hash)
    except EmailTaken:
        await _count(desk, attempt)
        raise


async def _refuse_if_curious(desk: UserDeps, attempt: ThrottleKey) -> None:
    """Whoever learns again and again that an e-mail has an account is looking for e-mails."""
    limits = desk.request_limits
    async with desk.db.connection() as connection:
        count = await requests.count(connection, CountedRequest.EMAIL_TAKEN, attempt, limits.window_seconds)
    if count.from_address >= limits.per_address:
        raise TooManyAttempts(retry_after=domain.seconds_until_expired(count.oldest_age_seconds, limits.window_seconds))


async def _count(desk: UserDeps, attempt: ThrottleKey) -> None:
    async with desk.db.connection() as connection:
        await requests.add(connection, CountedRequest.EMAIL_TAKEN, attempt)


async def _register(desk: UserDeps, ask: Request[Register], key: str, password_hash: str) -> Reply[SessionTokens]:
    async with desk.db.transaction(ask) as tx:
        account = await accounts.add(
            tx.connection,
            new_id(),
            email=ask.body.email,
            email_key=key,
            password_hash=password_hash,
            first_name=ask.body.first_name,
            last_name=ask.body.last_name,
            role=Role.CUSTOMER,
        )
        proof_id = await desk.email_tokens.issue(tx.connection, account.id, EmailTokenPurpose.VERIFY_EMAIL)
        tx.publish(UserRegistered(user_id=account.id), VerificationRequested(user_id=account.id, proof_id=proof_id))
        tx.on_commit(lambda: failpoint("user.registered"))
        return tx.reply(await desk.sign_in(tx.connection, account, ask.client_ip))


async def make_admin(desk: UserDeps, ask: Request[MakeAdmin]) -> Reply[User]:
    """Opens an administrator's account, or makes the one with this e-mail an administrator's."""
    key = domain.validate_registration(ask.body.email, ask.body.password)
    password_hash = await desk.password_hasher.hash(ask.body.password)
    async with desk.db.connection() as connection:
        known = await accounts.by_email(connection, key) is not None
    try:
        return await (
            _promote(desk, ask, key, password_hash) if known else _register_admin(desk, ask, key, password_hash)
        )
    except EmailTaken:
        return await _promote(desk, ask, key, password_hash)


async def _promote(desk: UserDeps, ask: Request[MakeAdmin], key: str, password_hash: str) -> Reply[User]:
    async with desk.db.transaction(ask) as tx:
        account = await accounts.promote_to_admin(tx.connection, key, password_hash)
        tx.audit_changes(after={"role": account.role})
        return tx.reply(account.user, version=account.version)


async def _register_admin(desk: UserDeps, ask: Request[MakeAdmin], key: str, password_hash: str) -> Reply[User]:
    async with desk.db.transaction(ask) as tx:
        account = await accounts.add(
            tx.connection,
            new_id(),
            email=ask.body.email,
            email_key=key,
            password_hash=password_hash,
            first_name="",
            last_name="",
            role=Role.ADMIN,
        )
        tx.publish(UserRegistered(user_id=account.id))
        tx.audit_changes(after={"role": account.role})
        return tx.reply(account.user, version=account.version)
