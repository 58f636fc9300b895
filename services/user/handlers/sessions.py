"""Signing in, staying signed in, signing out."""

import logging

from contracts.model import Empty, ListPage, PageParams
from contracts.user import (
    InvalidCredentials,
    InvalidRefreshToken,
    Login,
    RefreshTokenRequest,
    SessionRef,
    SessionTokens,
    TokenReused,
    UserSession,
)
from infra.database.audit_log import ANONYMOUS_ACTOR
from infra.foundation import pagination as cursor
from infra.foundation.failpoints import failpoint
from infra.messaging.idempotency import AlreadyProcessed
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.security.login_throttle import consume_code, refuse_if_throttled, reject_password, verify_code
from services.user.security.refresh_grace import open_successor
from services.user.store import accounts, sessions
from services.user.store import failed_logins as failures

log = logging.getLogger("souk.user")


async def login(desk: UserDeps, ask: Request[Login]) -> Reply[SessionTokens]:
    """Signs in. Failures are judged again after the password was hashed: guesses made at once count like others."""
    attempt = domain.throttle_key(ask.body.email, ask.client_ip, desk.pepper)
    async with desk.db.connection() as connection:
        await refuse_if_throttled(connection, desk, attempt)
        account = await accounts.by_email(connection, domain.normalize_email(ask.body.email))
    matches = await desk.password_hasher.verify(ask.body.password, account.password_hash if account else None)
    if account is None or not matches or not account.is_active:
        await reject_password(desk, attempt)
    proven = await verify_code(desk, account, attempt, ask.body.code) if account.totp else None
    rehashed = await desk.password_hasher.rehash_if_outdated(ask.body.password, account.password_hash)
    async with desk.db.transaction(ask) as tx:
        await failures.lock_address(tx.connection, attempt)
        await refuse_if_throttled(tx.connection, desk, attempt)
        if not await accounts.lock_if_unchanged(tx.connection, account):
            raise InvalidCredentials
        if proven is not None:
            await consume_code(tx.connection, account, proven)
        await failures.clear(tx.connection, attempt)
        if rehashed is not None:
            await accounts.update_hash(tx.connection, account, rehashed)
        tx.authenticated_as(account.id, account.role)
        tx.on_commit(lambda: failpoint("user.signed_in"))
        return tx.reply(await desk.sign_in(tx.connection, account, ask.client_ip))


async def refresh(desk: UserDeps, ask: Request[RefreshTokenRequest]) -> Reply[SessionTokens]:
    """Exchanges a refresh token for a new pair. Of two who bring the same one, one wins.

    The other is taken for a client that lost the reply, and has the same successor, once; whoever comes after ends the
    session.
    """
    plain = ask.body.refresh_token.get_secret_value()
    token = domain.hash_token(plain)
    try:
        async with desk.db.transaction(ask) as tx:
            session_id = await sessions.spend_token(tx.connection, token)
            account = await sessions.lock_owner(tx.connection, session_id)
            tx.on_commit(lambda: failpoint("user.refreshed"))
            return tx.reply(await desk.rotate(tx.connection, account, session_id, ask.client_ip, plain))
    except InvalidRefreshToken:
        await _look_for_replay(desk, ask)
        answer = await _once_more(desk, plain)
        if answer is not None:
            return answer
        await _look_for_reuse(desk, token, ask.client_ip)
        raise


async def _look_for_replay(desk: UserDeps, ask: Request[RefreshTokenRequest]) -> None:
    """The same request sent twice is no reuse: its idempotency key has the first answer."""
    if ask.idempotency_key is not None and await desk.db.find_reply(ask.idempotency_key) is not None:
        raise AlreadyProcessed


async def _once_more(desk: UserDeps, spent: str) -> Reply[SessionTokens] | None:
    """The successor of a token that was spent a moment ago, unless it was given so before or is spent itself."""
    token = domain.hash_token(spent)
    async with desk.db.connection() as connection:
        sealed = await sessions.find_sealed_successor(connection, token, desk.refresh_grace_seconds)
    if sealed is None:
        return None
    successor = open_successor(sealed, spent)
    async with desk.db.transaction() as tx:
        session_id = await sessions.claim_successor(
            tx.connection, token, domain.hash_token(successor), desk.refresh_grace_seconds
        )
        if session_id is None:
            return None
        account = await sessions.lock_owner(tx.connection, session_id)
        tx.on_commit(lambda: failpoint("user.successor_given"))
        log.info("a refresh token was given once more", extra={"fields": {"session": str(session_id)}})
        return Reply(await desk.issue(account, session_id, successor))


async def _look_for_reuse(desk: UserDeps, token: bytes, client: str) -> None:
    async with desk.db.transaction() as tx:
        reused = await sessions.revoke_reused(tx.connection, token)
        if reused is not None and reused.session_ended:
            after = {"session": reused.session_id}
            tx.audit("user.token_reused", ANONYMOUS_ACTOR, client, subject=reused.account_id, after=after)
    if reused is not None:
        failpoint("user.reuse_revoked")
        log.warning("a spent refresh token came again", extra={"fields": {"session": str(reused.session_id)}})
        await desk.revocation_publisher.publish_now()
        raise TokenReused


async def logout(desk: UserDeps, ask: Request[RefreshTokenRequest]) -> Empty:
    """Ends the session of any of its refresh tokens; says nothing about tokens that are of none."""
    async with desk.db.connection() as connection:
        await sessions.revoke(connection, domain.hash_token(ask.body.refresh_token.get_secret_value()))
    failpoint("user.signed_out")
    return Empty()


async def list_sessions(desk: UserDeps, ask: Request[PageParams]) -> ListPage[UserSession]:
    """One's own, the newest first."""
    before = cursor.decode_id_cursor(ask.body.after)
    async with desk.db.connection() as connection:
        found = await sessions.active(
            connection, ask.user.user_id, before=before, limit=ask.body.limit + 1, current=ask.user.session_id
        )
    page, following = cursor.paginate(found, ask.body.limit)
    return ListPage(items=page, next=following)


async def end_session(desk: UserDeps, ask: Request[SessionRef]) -> Reply[Empty]:
    async with desk.db.transaction(ask) as tx:
        await sessions.end(tx.connection, ask.user.user_id, ask.body.id)
        return tx.reply(Empty())
