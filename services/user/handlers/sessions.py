"""Signing in, staying signed in, signing out."""

import logging

from contracts.model import Empty, Listing, Page
from contracts.user import (
    InvalidCredentials,
    InvalidRefreshToken,
    Login,
    Refresh,
    Session,
    SessionOf,
    SignedIn,
    TokenReused,
)
from infra.database.audit_log import BY_ANYONE
from infra.foundation import pagination as cursor
from infra.foundation.failpoints import crash_point
from infra.messaging.idempotency import Replay
from infra.messaging.rpc import Answer, Ask
from services.user.deps import Desk
from services.user.domain import accounts as domain
from services.user.security.login_throttle import fail, judged, refuse_if_too_many, use_up
from services.user.security.refresh_grace import opened
from services.user.store import accounts, sessions
from services.user.store import failed_logins as failures

log = logging.getLogger("souk.user")


async def login(desk: Desk, ask: Ask[Login]) -> Answer[Session]:
    """Signs in. Failures are judged again after the password was hashed: guesses made at once count like others."""
    attempt = domain.attempt(ask.body.email, ask.client, desk.pepper)
    async with desk.db.connection() as connection:
        await refuse_if_too_many(connection, desk, attempt)
        account = await accounts.by_email(connection, domain.email_key(ask.body.email))
    matches = await desk.hasher.matches(ask.body.password, account.password_hash if account else None)
    if account is None or not matches or not account.is_active:
        await fail(desk, attempt)
    proven = await judged(desk, account, attempt, ask.body.code) if account.totp else None
    rehashed = await desk.hasher.renewed(ask.body.password, account.password_hash)
    async with desk.db.transaction(ask) as tx:
        await failures.line_up(tx.connection, attempt)
        await refuse_if_too_many(tx.connection, desk, attempt)
        if not await accounts.still_opens(tx.connection, account):
            raise InvalidCredentials
        if proven is not None:
            await use_up(tx.connection, account, proven)
        await failures.forgive(tx.connection, attempt)
        if rehashed is not None:
            await accounts.rehash(tx.connection, account, rehashed)
        tx.proven(account.id, account.role)
        tx.afterwards(lambda: crash_point("user.signed_in"))
        return tx.answer(await desk.sign_in(tx.connection, account, ask.client))


async def refresh(desk: Desk, ask: Ask[Refresh]) -> Answer[Session]:
    """Exchanges a refresh token for a new pair. Of two who bring the same one, one wins.

    The other is taken for a client that lost the reply, and has the same successor, once; whoever comes after ends the
    session.
    """
    plain = ask.body.refresh_token.get_secret_value()
    token = domain.digest(plain)
    try:
        async with desk.db.transaction(ask) as tx:
            session_id = await sessions.spend(tx.connection, token)
            account = await sessions.owner(tx.connection, session_id)
            tx.afterwards(lambda: crash_point("user.refreshed"))
            return tx.answer(await desk.go_on(tx.connection, account, session_id, ask.client, plain))
    except InvalidRefreshToken:
        await _look_for_replay(desk, ask)
        answer = await _once_more(desk, plain)
        if answer is not None:
            return answer
        await _look_for_reuse(desk, token, ask.client)
        raise


async def _look_for_replay(desk: Desk, ask: Ask[Refresh]) -> None:
    """The same request sent twice is no reuse: its idempotency key has the first answer."""
    if ask.key is not None and await desk.db.find(ask.key) is not None:
        raise Replay


async def _once_more(desk: Desk, spent: str) -> Answer[Session] | None:
    """The successor of a token that was spent a moment ago, unless it was given so before or is spent itself."""
    token = domain.digest(spent)
    async with desk.db.connection() as connection:
        sealed = await sessions.sealed_successor(connection, token, desk.refresh_grace)
    if sealed is None:
        return None
    successor = opened(sealed, spent)
    async with desk.db.transaction() as tx:
        session_id = await sessions.take_successor(tx.connection, token, domain.digest(successor), desk.refresh_grace)
        if session_id is None:
            return None
        account = await sessions.owner(tx.connection, session_id)
        tx.afterwards(lambda: crash_point("user.successor_given"))
        log.info("a refresh token was given once more", extra={"fields": {"session": str(session_id)}})
        return Answer(await desk.session(account, session_id, successor))


async def _look_for_reuse(desk: Desk, token: bytes, client: str) -> None:
    async with desk.db.transaction() as tx:
        reused = await sessions.revoke_reused(tx.connection, token)
        if reused is not None and reused.ended:
            after = {"session": reused.session_id}
            tx.note("user.token_reused", BY_ANYONE, client, subject=reused.account_id, after=after)
    if reused is not None:
        crash_point("user.reuse_revoked")
        log.warning("a spent refresh token came again", extra={"fields": {"session": str(reused.session_id)}})
        await desk.teller.tell_at_once()
        raise TokenReused


async def logout(desk: Desk, ask: Ask[Refresh]) -> Empty:
    """Ends the session of any of its refresh tokens; says nothing about tokens that are of none."""
    async with desk.db.connection() as connection:
        await sessions.revoke(connection, domain.digest(ask.body.refresh_token.get_secret_value()))
    crash_point("user.signed_out")
    return Empty()


async def list_sessions(desk: Desk, ask: Ask[Page]) -> Listing[SignedIn]:
    """One's own, the newest first."""
    before = cursor.id_in(ask.body.after)
    async with desk.db.connection() as connection:
        found = await sessions.living(
            connection, ask.who.user_id, before=before, most=ask.body.limit + 1, current=ask.who.session_id
        )
    page, following = cursor.page(found, ask.body.limit)
    return Listing(items=page, next=following)


async def end_session(desk: Desk, ask: Ask[SessionOf]) -> Answer[Empty]:
    async with desk.db.transaction(ask) as tx:
        await sessions.end(tx.connection, ask.who.user_id, ask.body.id)
        return tx.answer(Empty())
