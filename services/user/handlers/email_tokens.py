"""Tokens mailed to an account's owner: requesting one, verifying an e-mail with it, and reading it for the mail."""

from contracts.failure import NotFound
from contracts.model import Empty
from contracts.user import (
    EmailTokenPurpose,
    EmailTokenRequest,
    EmailVerified,
    IssuedEmailToken,
    VerificationRequested,
    VerifyEmail,
)
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.domain.attempt_limits import throttle_key
from services.user.domain.tokens import hash_token
from services.user.store import accounts, email_tokens


async def request_verification(deps: UserDeps, request: Request[Empty]) -> Reply[Empty]:
    """Has the verification mail sent again, unless the e-mail is verified already."""
    async with deps.db.transaction(request) as tx:
        account = await accounts.by_id(tx.connection, request.user.user_id)
        if account is None:
            raise NotFound
        key = throttle_key(account.email, request.client_ip, deps.pepper)
        if not account.email_verified and await deps.request_throttle.count_token_mail(tx.connection, key):
            token_id = await deps.email_tokens.issue(tx.connection, account.id, EmailTokenPurpose.VERIFY_EMAIL)
            tx.publish(VerificationRequested(user_id=account.id, proof_id=token_id))
        return tx.reply(Empty())


async def verify_email(deps: UserDeps, request: Request[VerifyEmail]) -> Reply[Empty]:
    """Marks the e-mail of the token's account as verified."""
    digest = hash_token(request.body.token.get_secret_value())
    async with deps.db.transaction(request) as tx:
        account_id = await email_tokens.consume(tx.connection, digest, EmailTokenPurpose.VERIFY_EMAIL)
        if await accounts.mark_email_verified(tx.connection, account_id):
            tx.publish(EmailVerified(user_id=account_id))
        return tx.reply(Empty())


async def get_email_token(deps: UserDeps, request: Request[EmailTokenRequest]) -> IssuedEmailToken:
    """Returns a token and its recipient, for the mail that is about to be sent."""
    async with deps.db.connection() as connection:
        record = await email_tokens.find_for_mail(connection, request.body.proof_id)
    return IssuedEmailToken.model_validate(
        {
            "email": record.email,
            "first_name": record.first_name,
            "last_name": record.last_name,
            "token": deps.email_tokens.token_for(record),
            "expires_at": record.expires_at,
            "email_verified": record.email_verified,
        }
    )
