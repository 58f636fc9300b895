"""Opening accounts."""

from contracts.identity import Role
from contracts.user import EmailTaken, MakeAdmin, Register, Registered, Session, User
from infra.crash import crash_point
from infra.ids import new_id
from infra.rpc import Answer, Ask
from services.user import domain
from services.user.desk import Desk
from services.user.store import accounts


async def register(desk: Desk, ask: Ask[Register]) -> Answer[Session]:
    """Opens a customer's account and signs in."""
    key = domain.admit(ask.body.email, ask.body.password)
    password_hash = await desk.hasher.hash(ask.body.password)
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
        tx.say(Registered(user_id=account.id))
        tx.afterwards(lambda: crash_point("user.registered"))
        return tx.answer(await desk.sign_in(tx.connection, account))


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
        return tx.answer(account.user, version=account.version)
