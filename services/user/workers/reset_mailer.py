"""Looks up the e-mails of forgotten passwords, after the request was answered, and has a token mailed."""

from contracts.user import EmailTokenPurpose, ResetRequested
from infra.database.postgres import Database
from services.user.security.email_tokens import EmailTokens
from services.user.store import accounts, email_tokens


async def issue_next_reset(db: Database, tokens: EmailTokens) -> bool:
    """Takes one queued e-mail and issues a token if it has an active account; returns whether there may be more."""
    async with db.transaction() as tx:
        email_key = await email_tokens.dequeue_reset(tx.connection)
        account = await accounts.by_email(tx.connection, email_key) if email_key is not None else None
        if account is not None and account.is_active:
            token_id = await tokens.issue(tx.connection, account.id, EmailTokenPurpose.RESET_PASSWORD)
            tx.publish(ResetRequested(user_id=account.id, proof_id=token_id))
    return email_key is not None
