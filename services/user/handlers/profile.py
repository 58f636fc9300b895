"""What is known of an account, and the keys by which others recognise who is signed in."""

from contracts.failure import NotFound, PreconditionFailed
from contracts.model import Empty
from contracts.user import ContactRequest, Jwks, KeyRotation, UpdateProfile, User, UserContact
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.security.signing_keys import ACTIVATION_DELAY_SECONDS, RETIREMENT_SECONDS
from services.user.store import accounts


async def get_profile(desk: UserDeps, ask: Request[Empty]) -> Reply[User]:
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, ask.user.user_id)
    if account is None:
        raise NotFound
    return Reply(account.user, account.version)


async def update_profile(desk: UserDeps, ask: Request[UpdateProfile]) -> Reply[User]:
    async with desk.db.transaction(ask) as tx:
        account = await accounts.rename(
            tx.connection, ask.user.user_id, ask.body.first_name, ask.body.last_name, ask.if_match
        )
        if account is None:
            known = await accounts.by_id(tx.connection, ask.user.user_id)
            raise PreconditionFailed if known else NotFound
        tx.on_commit(lambda: failpoint("user.renamed"))
        return tx.reply(account.user, version=account.version)


async def get_contact(desk: UserDeps, ask: Request[ContactRequest]) -> UserContact:
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, ask.body.user_id)
    if account is None:
        raise NotFound
    return UserContact(email=account.email, first_name=account.first_name, last_name=account.last_name)


async def get_jwks(desk: UserDeps, _ask: Request[Empty]) -> Jwks:
    return Jwks(keys=[key.jwk for key in await desk.signing_keys.all()])


async def rotate_keys(desk: UserDeps, ask: Request[Empty]) -> KeyRotation:
    kid, former = await desk.signing_keys.rotate(ask)
    return KeyRotation(
        kid=kid, signs_in=int(ACTIVATION_DELAY_SECONDS), former=former, retired_in=int(RETIREMENT_SECONDS)
    )
