"""What is known of an account, and the keys by which others recognise who is signed in."""

from contracts.failure import NotFound, PreconditionFailed
from contracts.model import Empty
from contracts.user import Contact, ContactOf, Jwks, Rotation, UpdateProfile, User
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Answer, Ask
from services.user.deps import Desk
from services.user.security.signing_keys import RETIREMENT, SETTLING
from services.user.store import accounts


async def profile(desk: Desk, ask: Ask[Empty]) -> Answer[User]:
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, ask.who.user_id)
    if account is None:
        raise NotFound
    return Answer(account.user, account.version)


async def update_profile(desk: Desk, ask: Ask[UpdateProfile]) -> Answer[User]:
    async with desk.db.transaction(ask) as tx:
        account = await accounts.rename(
            tx.connection, ask.who.user_id, ask.body.first_name, ask.body.last_name, ask.if_match
        )
        if account is None:
            known = await accounts.by_id(tx.connection, ask.who.user_id)
            raise PreconditionFailed if known else NotFound
        tx.afterwards(lambda: crash_point("user.renamed"))
        return tx.answer(account.user, version=account.version)


async def contact(desk: Desk, ask: Ask[ContactOf]) -> Contact:
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, ask.body.user_id)
    if account is None:
        raise NotFound
    return Contact(email=account.email, first_name=account.first_name, last_name=account.last_name)


async def jwks(desk: Desk, _ask: Ask[Empty]) -> Jwks:
    return Jwks(keys=[key.jwk for key in await desk.keyring.all()])


async def rotate_keys(desk: Desk, ask: Ask[Empty]) -> Rotation:
    kid, former = await desk.keyring.rotate(ask)
    return Rotation(kid=kid, signs_in=int(SETTLING), former=former, retired_in=int(RETIREMENT))
