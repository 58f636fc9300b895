"""Creating accounts: customers register, and the operator makes administrators."""

from contracts.identity import Role
from contracts.user import (
    EmailTaken,
    EmailTokenPurpose,
    MakeAdmin,
    Register,
    SessionTokens,
    User,
    UserRegistered,
    VerificationRequested,
)
from infra.database.postgres import Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.domain.accounts import AccountRecord
from services.user.domain.attempt_limits import throttle_key
from services.user.domain.emails import validate_email
from services.user.domain.passwords import validate_password
from services.user.store import accounts


async def register(deps: UserDeps, request: Request[Register]) -> Reply[SessionTokens]:
    """Creates a customer's account, signs in, and has a token mailed that verifies the e-mail."""
    body = request.body
    email_key = validate_email(body.email, smtp_utf8=deps.smtp_utf8)
    validate_password(body.email, body.password)
    key = throttle_key(body.email, request.client_ip, deps.pepper)
    await deps.request_throttle.require_few_taken_emails(key)
    password_hash = await deps.password_hasher.hash(body.password)
    try:
        return await _register(deps, request, email_key, password_hash)
    except EmailTaken:
        await deps.request_throttle.count_taken_email(key)
        raise


async def _register(
    deps: UserDeps, request: Request[Register], email_key: str, password_hash: str
) -> Reply[SessionTokens]:
    body = request.body
    async with deps.db.transaction(request) as tx:
        account = await _create_account(
            tx, body.email, email_key, password_hash, Role.CUSTOMER, body.first_name, body.last_name
        )
        token_id = await deps.email_tokens.issue(tx.connection, account.id, EmailTokenPurpose.VERIFY_EMAIL)
        tx.publish(VerificationRequested(user_id=account.id, proof_id=token_id))
        tx.on_commit(lambda: failpoint("user.registered"))
        return tx.reply(await deps.session_issuer.open_session(tx.connection, account, request.client_ip))


async def _create_account(
    tx: Transaction,
    email: str,
    email_key: str,
    password_hash: str,
    role: Role,
    first_name: str = "",
    last_name: str = "",
) -> AccountRecord:
    account = await accounts.add(
        tx.connection,
        new_id(),
        email=email,
        email_key=email_key,
        password_hash=password_hash,
        first_name=first_name,
        last_name=last_name,
        role=role,
    )
    tx.publish(UserRegistered(user_id=account.id))
    return account


async def make_admin(deps: UserDeps, request: Request[MakeAdmin]) -> Reply[User]:
    """Creates an administrator's account, or makes the account with this e-mail an administrator's."""
    body = request.body
    email_key = validate_email(body.email, smtp_utf8=deps.smtp_utf8)
    validate_password(body.email, body.password)
    password_hash = await deps.password_hasher.hash(body.password)
    async with deps.db.connection() as connection:
        exists = await accounts.by_email(connection, email_key) is not None
    try:
        create = _promote if exists else _create_admin
        return await create(deps, request, email_key, password_hash)
    except EmailTaken:  # another request created the account meanwhile
        return await _promote(deps, request, email_key, password_hash)


async def _promote(deps: UserDeps, request: Request[MakeAdmin], email_key: str, password_hash: str) -> Reply[User]:
    async with deps.db.transaction(request) as tx:
        account = await accounts.promote_to_admin(tx.connection, email_key, password_hash)
        tx.audit_changes(after={"role": account.role})
        return tx.reply(account.to_contract(), version=account.version)


async def _create_admin(deps: UserDeps, request: Request[MakeAdmin], email_key: str, password_hash: str) -> Reply[User]:
    async with deps.db.transaction(request) as tx:
        account = await _create_account(tx, request.body.email, email_key, password_hash, Role.ADMIN)
        tx.audit_changes(after={"role": account.role})
        return tx.reply(account.to_contract(), version=account.version)
