"""Opening accounts."""

from contracts.identity import Role
from contracts.user import (
    EmailTaken,
    MakeAdmin,
    Purpose,
    Register,
    Registered,
    Session,
    TooManyAttempts,
    User,
    VerificationRequested,
)
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import new_id
from infra.messaging.rpc import Answer, Ask
from services.user.deps import Desk
from services.user.domain import accounts as domain
from services.user.domain.accounts import Attempt
from services.user.store import accounts
from services.user.store import request_counts as requests
from services.user.store.request_counts import Kind


async def register(desk: Desk, ask: Ask[Register]) -> Answer[Session]:
    """Opens a customer's account and signs in. A token that verifies the e-mail is mailed."""
    key = domain.admit(ask.body.email, ask.body.password)
    attempt = domain.attempt(ask.body.email, ask.client, desk.pepper)
    await _refuse_if_curious(desk, attempt)
    password_hash = await desk.hasher.hash(ask.body.password)
    try:
        return await _register(desk, ask, key, password_hash)
    except EmailTaken:
        await _count(desk, attempt)
        raise


async def _refuse_if_curious(desk: Desk, attempt: Attempt) -> None:
    """Whoever learns again and again that an e-mail has an account is looking for e-mails."""
    limits = desk.request_limits
    async with desk.db.connection() as connection:
        count = await requests.count(connection, Kind.TAKEN, attempt, limits.window)
    if count.of_address >= limits.of_address:
        raise TooManyAttempts(retry_after=domain.until_free(count.age, limits.window))


async def _count(desk: Desk, attempt: Attempt) -> None:
    async with desk.db.connection() as connection:
        await requests.add(connection, Kind.TAKEN, attempt)


async def _register(desk: Desk, ask: Ask[Register], key: str, password_hash: str) -> Answer[Session]:
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
        proof_id = await desk.prover.issue(tx.connection, account.id, Purpose.VERIFY_EMAIL)
        tx.say(Registered(user_id=account.id), VerificationRequested(user_id=account.id, proof_id=proof_id))
        tx.afterwards(lambda: crash_point("user.registered"))
        return tx.answer(await desk.sign_in(tx.connection, account, ask.client))


async def make_admin(desk: Desk, ask: Ask[MakeAdmin]) -> Answer[User]:
    """Opens an administrator's account, or makes the one with this e-mail an administrator's."""
    key = domain.admit(ask.body.email, ask.body.password)
    password_hash = await desk.hasher.hash(ask.body.password)
    async with desk.db.connection() as connection:
        known = await accounts.by_email(connection, key) is not None
    try:
        return await (
            _promote(desk, ask, key, password_hash) if known else _register_admin(desk, ask, key, password_hash)
        )
    except EmailTaken:
        return await _promote(desk, ask, key, password_hash)


async def _promote(desk: Desk, ask: Ask[MakeAdmin], key: str, password_hash: str) -> Answer[User]:
    async with desk.db.transaction(ask) as tx:
        account = await accounts.promote(tx.connection, key, password_hash)
        tx.detail(after={"role": account.role})
        return tx.answer(account.user, version=account.version)


async def _register_admin(desk: Desk, ask: Ask[MakeAdmin], key: str, password_hash: str) -> Answer[User]:
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
        tx.say(Registered(user_id=account.id))
        tx.detail(after={"role": account.role})
        return tx.answer(account.user, version=account.version)
