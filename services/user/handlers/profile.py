"""A customer's own account, and the contact details that other services may look up."""

from contracts.failure import NotFound, PreconditionFailed
from contracts.model import Empty
from contracts.user import (
    AccountQuery,
    ContactList,
    ContactRequest,
    ContactsRequest,
    FoundAccount,
    KnownContact,
    UpdateProfile,
    User,
    UserContact,
)
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.domain.emails import normalize_email
from services.user.store import accounts


async def get_profile(deps: UserDeps, request: Request[Empty]) -> Reply[User]:
    """Returns the caller's own account."""
    async with deps.db.connection() as connection:
        account = await accounts.by_id(connection, request.user.user_id)
    if account is None:
        raise NotFound
    return Reply(account.to_contract(), account.version)


async def update_profile(deps: UserDeps, request: Request[UpdateProfile]) -> Reply[User]:
    """Changes the caller's name."""
    user_id, body = request.user.user_id, request.body
    async with deps.db.transaction(request) as tx:
        account = await accounts.rename(tx.connection, user_id, body.first_name, body.last_name, request.if_match)
        if account is None:
            exists = await accounts.by_id(tx.connection, user_id) is not None
            raise PreconditionFailed if exists else NotFound
        tx.on_commit(lambda: failpoint("user.renamed"))
        return tx.reply(account.to_contract(), version=account.version)


async def get_contact(deps: UserDeps, request: Request[ContactRequest]) -> UserContact:
    """Returns the name and e-mail of a customer, for a service that writes to them."""
    async with deps.db.connection() as connection:
        account = await accounts.by_id(connection, request.body.user_id)
    if account is None:
        raise NotFound
    return UserContact(
        email=account.email,
        first_name=account.first_name,
        last_name=account.last_name,
        email_verified=account.email_verified,
    )


async def list_contacts(deps: UserDeps, request: Request[ContactsRequest]) -> ContactList:
    """Returns the names and e-mails of customers; those that do not exist are left out."""
    async with deps.db.connection() as connection:
        found = await accounts.by_ids(connection, request.body.user_ids)
    contacts = [
        KnownContact(
            user_id=account.id,
            email=account.email,
            first_name=account.first_name,
            last_name=account.last_name,
            email_verified=account.email_verified,
        )
        for account in found
    ]
    return ContactList(items=contacts)


async def find_account(deps: UserDeps, request: Request[AccountQuery]) -> FoundAccount:
    """Returns which account has this e-mail, for an administrator who searches for its orders."""
    async with deps.db.connection() as connection:
        account = await accounts.by_email(connection, normalize_email(request.body.email))
    return FoundAccount(user_id=account.id if account is not None else None)
