"""Passwords forgotten and changed, e-mails verified: what the owner of an account's mailbox may do.

Whoever says to have forgotten a password gets the same answer in the same time, whether the e-mail has an account or
not: the request only notes the e-mail, and a worker looks it up afterwards.
"""

from contracts.failure import NotFound
from contracts.model import Empty
from contracts.user import (
    ChangePassword,
    EmailVerified,
    ForgotPassword,
    InvalidCredentials,
    InvalidProof,
    PasswordChanged,
    Proof,
    ProofOf,
    Purpose,
    ResetPassword,
    ResetRequested,
    TooManyAttempts,
    VerificationRequested,
    VerifyEmail,
)
from infra.database.postgres import Connection, Database
from infra.messaging.rpc import Answer, Ask
from services.user.deps import Desk
from services.user.domain import accounts as domain
from services.user.domain.accounts import Attempt
from services.user.security.email_tokens import Prover
from services.user.security.login_throttle import fail, refuse_if_too_many
from services.user.store import accounts, sessions
from services.user.store import email_tokens as proofs
from services.user.store import failed_logins as failures
from services.user.store import request_counts as requests
from services.user.store.request_counts import Kind


async def forgot_password(desk: Desk, ask: Ask[ForgotPassword]) -> Answer[Empty]:
    """Notes that a token is to be mailed. Too many for one account are let go by in silence, from one address not."""
    attempt = domain.attempt(ask.body.email, ask.client, desk.pepper)
    async with desk.db.transaction(ask) as tx:
        if await _may_have_mail(desk, tx.connection, attempt):
            await proofs.line_up(tx.connection, domain.email_key(ask.body.email))
        tx.afterwards(desk.wake_mailroom)
        return tx.answer(Empty())


async def _may_have_mail(desk: Desk, connection: Connection, attempt: Attempt) -> bool:
    """Whether an account may have another mail, counting this one."""
    limits = desk.request_limits
    await requests.line_up(connection, attempt)
    count = await requests.count(connection, Kind.MAIL, attempt, limits.window)
    if count.of_address >= limits.of_address:
        raise TooManyAttempts(retry_after=domain.until_free(count.age, limits.window))
    await requests.add(connection, Kind.MAIL, attempt)
    return count.of_account < limits.of_account


async def answer_forgotten(db: Database, prover: Prover) -> bool:
    """Takes one note and has a token mailed, if the e-mail has an account; whether there may be more notes."""
    async with db.transaction() as tx:
        key = await proofs.next_forgotten(tx.connection)
        account = await accounts.by_email(tx.connection, key) if key is not None else None
        if account is not None and account.is_active:
            proof_id = await prover.issue(tx.connection, account.id, Purpose.RESET_PASSWORD)
            tx.say(ResetRequested(user_id=account.id, proof_id=proof_id))
    return key is not None


async def reset_password(desk: Desk, ask: Ask[ResetPassword]) -> Answer[Empty]:
    """A new password for whoever reads the account's mail, which verifies its e-mail. Every session ends."""
    digest = domain.digest(ask.body.token.get_secret_value())
    async with desk.db.connection() as connection:
        account = await proofs.holder(connection, digest, Purpose.RESET_PASSWORD)
    domain.admit_password(account.email, ask.body.password)
    password_hash = await desk.hasher.hash(ask.body.password)
    async with desk.db.transaction(ask) as tx:
        await proofs.use(tx.connection, digest, Purpose.RESET_PASSWORD)
        await sessions.line_up(tx.connection, account.id)
        if not await accounts.set_password(tx.connection, account.id, password_hash, verified=True):
            raise InvalidProof
        await sessions.end_all(tx.connection, account.id)
        tx.proven(account.id, account.role)
        tx.say(PasswordChanged(user_id=account.id))
        if not account.email_verified:
            tx.say(EmailVerified(user_id=account.id))
        return tx.answer(Empty())


async def change_password(desk: Desk, ask: Ask[ChangePassword]) -> Answer[Empty]:
    """Another password for whoever knows the one of now. The session that asks stays, the others end."""
    async with desk.db.connection() as connection:
        account = await accounts.by_id(connection, ask.who.user_id)
        if account is None:
            raise NotFound
        attempt = domain.attempt(account.email, ask.client, desk.pepper)
        await refuse_if_too_many(connection, desk, attempt)
    domain.admit_password(account.email, ask.body.new_password, "/new_password")
    if not await desk.hasher.matches(ask.body.current_password, account.password_hash):
        await fail(desk, attempt)
    password_hash = await desk.hasher.hash(ask.body.new_password)
    async with desk.db.transaction(ask) as tx:
        await failures.line_up(tx.connection, attempt)
        await refuse_if_too_many(tx.connection, desk, attempt)
        await sessions.line_up(tx.connection, account.id)
        if not await accounts.still_opens(tx.connection, account):
            raise InvalidCredentials
        await accounts.set_password(tx.connection, account.id, password_hash)
        await sessions.end_all(tx.connection, account.id, but=ask.who.session_id)
        await proofs.withdraw(tx.connection, account.id, Purpose.RESET_PASSWORD)
        tx.say(PasswordChanged(user_id=account.id))
        return tx.answer(Empty())


async def request_verification(desk: Desk, ask: Ask[Empty]) -> Answer[Empty]:
    """Has the token mailed again; where the e-mail is verified already, there is nothing to do."""
    async with desk.db.transaction(ask) as tx:
        account = await accounts.by_id(tx.connection, ask.who.user_id)
        if account is None:
            raise NotFound
        attempt = domain.attempt(account.email, ask.client, desk.pepper)
        if not account.email_verified and await _may_have_mail(desk, tx.connection, attempt):
            proof_id = await desk.prover.issue(tx.connection, account.id, Purpose.VERIFY_EMAIL)
            tx.say(VerificationRequested(user_id=account.id, proof_id=proof_id))
        return tx.answer(Empty())


async def verify_email(desk: Desk, ask: Ask[VerifyEmail]) -> Answer[Empty]:
    digest = domain.digest(ask.body.token.get_secret_value())
    async with desk.db.transaction(ask) as tx:
        account_id = await proofs.use(tx.connection, digest, Purpose.VERIFY_EMAIL)
        if await accounts.verify(tx.connection, account_id):
            tx.say(EmailVerified(user_id=account_id))
        return tx.answer(Empty())


async def proof(desk: Desk, ask: Ask[ProofOf]) -> Proof:
    """The token of a proof, made for the mail that is about to be sent, and where that goes."""
    async with desk.db.connection() as connection:
        letter = await proofs.letter(connection, ask.body.proof_id)
    return Proof.model_validate(
        {
            "email": letter.email,
            "first_name": letter.first_name,
            "last_name": letter.last_name,
            "token": desk.prover.token_of(letter),
            "expires_at": letter.expires_at,
        }
    )
