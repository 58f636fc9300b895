"""Passwords forgotten and changed, e-mails verified: what the owner of an account's mailbox may do.

Whoever says to have forgotten a password gets the same answer in the same time, whether the e-mail has an account or
not: the request only notes the e-mail, and a worker looks it up afterwards.
"""

from contracts.failure import NotFound
from contracts.model import Empty
from contracts.user import (
    ChangePassword,
    EmailTokenPurpose,
    EmailTokenRequest,
    EmailVerified,
    ForgotPassword,
    InvalidCredentials,
    InvalidEmailToken,
    IssuedEmailToken,
    PasswordChanged,
    ResetPassword,
    ResetRequested,
    TooManyAttempts,
    VerificationRequested,
    VerifyEmail,
)
from infra.database.postgres import Connection, Database
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.domain.accounts import ThrottleKey
from services.user.security.email_tokens import EmailTokens
from services.user.security.login_throttle import refuse_if_throttled, reject_password
from services.user.store import accounts, sessions
from services.user.store import email_tokens as proofs
from services.user.store import failed_logins as failures
from services.user.store import request_counts as requests
from services.user.store.request_counts import CountedRequest


async def forgot_password(desk: UserDeps, ask: Request[ForgotPassword]) -> Reply[Empty]:
    """Notes that a token is to be mailed. Too many for one account are let go by in silence, from one address not."""
    attempt = domain.throttle_key(ask.body.email, ask.client_ip, desk.pepper)
    async with desk.db.transaction(ask) as tx:
        if await _may_have_mail(desk, tx.connection, attempt):
            await proofs.enqueue_reset(tx.connection, domain.normalize_email(ask.body.email))
        tx.on_commit(desk.wake_reset_mailer)
        return tx.reply(Empty())


async def _may_have_mail(desk: UserDeps, connection: Connection, attempt: ThrottleKey) -> bool:
    """Whether an account may have another mail, counting this one."""
    limits = desk.request_limits
    await requests.lock_address(connection, attempt)
    count = await requests.count(connection, CountedRequest.TOKEN_MAIL, attempt, limits.window_seconds)
    if count.from_address >= limits.per_address:
        raise TooManyAttempts(retry_after=domain.seconds_until_expired(count.oldest_age_seconds, limits.window_seconds))
    await requests.add(connection, CountedRequest.TOKEN_MAIL, attempt)
    return count.for_account < limits.per_account


async def issue_next_reset(db: Database, email_tokens: EmailTokens) -> bool:
    """Takes one note and has a token mailed, if the e-mail has an account; whether there may be more notes."""
    async with db.transaction() as tx:
        key = await proofs.dequeue_reset(tx.connection)
        account = await accounts.by_email(tx.connection, key) if key is not None else None
        if account is not None and account.is_active:
            proof_id = await email_tokens.issue(tx.connection, account.id, EmailTokenPurpose.RESET_PASSWORD)
            tx.publish(ResetRequested(user_id=account.id, proof_id=proof_id))
    return key is not None


async def reset_password(desk: UserDeps, ask: Request[ResetPassword]) -> Reply[Empty]:
    """A new password for whoever reads the account's mail, which verifies its e-mail. Every session ends."""
    digest = domain.hash_token(ask.body.token.get_secret_value())
    async with desk.db.connection() as connection:
        account = await proofs.find_account(connection, digest, EmailTokenPurpose.RESET_PASSWORD)
    domain.validate_password(account.email, ask.body.password)
    password_hash = await desk.password_hasher.hash(ask.body.password)
    async with desk.db.transaction(ask) as tx:
        await proofs.consume(tx.connection, digest, EmailTokenPurpose.RESET_PASSWORD)
        await sessions.lock_sessions(tx.connection, account.id)
        if not await accounts.set_password(tx.connection, account.id, password_hash, email_verified=True):
            raise InvalidEmailToken
        await sessions.end_all(tx.connection, account.id)
        tx.authenticated_as(account.id, account.role)
        tx.publish(PasswordChanged(user_id=account.id))
        if not account.email_verified:
            tx.publish(EmailVerified(user_id=account.id))
        return tx.reply(Empty())


async def change_password(desk: UserDeps, ask: Request[ChangePassword]) -> Reply[Empty]:
    """Another password for whoever knows the one of now. The session that asks stays, the others end."""
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, ask.user.user_id)
        if account is None:
            raise NotFound
        attempt = domain.throttle_key(account.email, ask.client_ip, desk.pepper)
        await refuse_if_throttled(connection, desk, attempt)
    domain.validate_password(account.email, ask.body.new_password, "/new_password")
    if not await desk.password_hasher.verify(ask.body.current_password, account.password_hash):
        await reject_password(desk, attempt)
    password_hash = await desk.password_hasher.hash(ask.body.new_password)
    async with desk.db.transaction(ask) as tx:
        await failures.lock_address(tx.connection, attempt)
        await refuse_if_throttled(tx.connection, desk, attempt)
        await sessions.lock_sessions(tx.connection, account.id)
        if not await accounts.lock_if_unchanged(tx.connection, account):
            raise InvalidCredentials
        await accounts.set_password(tx.connection, account.id, password_hash)
        await sessions.end_all(tx.connection, account.id, except_session_id=ask.user.session_id)
        await proofs.revoke(tx.connection, account.id, EmailTokenPurpose.RESET_PASSWORD)
        tx.publish(PasswordChanged(user_id=account.id))
        return tx.reply(Empty())


async def request_verification(desk: UserDeps, ask: Request[Empty]) -> Reply[Empty]:
    """Has the token mailed again; where the e-mail is verified already, there is nothing to do."""
    async with desk.db.transaction(ask) as tx:
        account = await accounts.by_id(tx.connection, ask.user.user_id)
        if account is None:
            raise NotFound
        attempt = domain.throttle_key(account.email, ask.client_ip, desk.pepper)
        if not account.email_verified and await _may_have_mail(desk, tx.connection, attempt):
            proof_id = await desk.email_tokens.issue(tx.connection, account.id, EmailTokenPurpose.VERIFY_EMAIL)
            tx.publish(VerificationRequested(user_id=account.id, proof_id=proof_id))
        return tx.reply(Empty())


async def verify_email(desk: UserDeps, ask: Request[VerifyEmail]) -> Reply[Empty]:
    digest = domain.hash_token(ask.body.token.get_secret_value())
    async with desk.db.transaction(ask) as tx:
        account_id = await proofs.consume(tx.connection, digest, EmailTokenPurpose.VERIFY_EMAIL)
        if await accounts.mark_email_verified(tx.connection, account_id):
            tx.publish(EmailVerified(user_id=account_id))
        return tx.reply(Empty())


async def get_email_token(desk: UserDeps, ask: Request[EmailTokenRequest]) -> IssuedEmailToken:
    """The token of a proof, made for the mail that is about to be sent, and where that goes."""
    async with desk.db.connection() as connection:
        letter = await proofs.find_for_mail(connection, ask.body.proof_id)
    return IssuedEmailToken.model_validate(
        {
            "email": letter.email,
            "first_name": letter.first_name,
            "last_name": letter.last_name,
            "token": desk.email_tokens.token_for(letter),
            "expires_at": letter.expires_at,
        }
    )
