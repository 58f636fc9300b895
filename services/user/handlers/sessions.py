"""Signing in, staying signed in, signing out."""

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
from infra.foundation.failpoints import failpoint
from infra.foundation.pagination import decode_id_cursor, paginate
from infra.foundation.telemetry import get_logger
from infra.messaging.idempotency import AlreadyProcessed
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.domain.attempt_limits import throttle_key
from services.user.domain.emails import normalize_email
from services.user.domain.tokens import hash_token
from services.user.security.refresh_grace import open_successor
from services.user.store import accounts, failed_logins, sessions

log = get_logger("souk.user")


async def login(deps: UserDeps, request: Request[Login]) -> Reply[SessionTokens]:
    """Opens a session for a correct password, and a correct code where the account has a second factor.

    The throttle is checked again after hashing, so that concurrent guesses count like consecutive ones.
    """
    body, throttle, hasher = request.body, deps.login_throttle, deps.password_hasher
    key = throttle_key(body.email, request.client_ip, deps.pepper)
    async with deps.db.connection() as connection:
        await throttle.require_allowed(connection, key)
        account = await accounts.by_email(connection, normalize_email(body.email))
    form = await hasher.find_matching_form(body.password, account.password_hash if account else None)
    if account is None or form is None or not account.is_active:
        await throttle.reject_password(key)
    code = await deps.code_verifier.verify(account, key, body.code) if account.totp else None
    new_hash = await hasher.rehash_if_outdated(form, account.password_hash)
    async with deps.db.transaction(request) as tx:
        await throttle.lock_and_require_allowed(tx.connection, key)
        if not await accounts.lock_if_unchanged(tx.connection, account):
            raise InvalidCredentials
        if code is not None:
            await deps.code_verifier.consume(tx.connection, account, code)
        await failed_logins.clear(tx.connection, key)
        if new_hash is not None:
            await accounts.update_hash(tx.connection, account, new_hash)
        tx.authenticated_as(account.id, account.role)
        tx.on_commit(lambda: failpoint("user.signed_in"))
        return tx.reply(await deps.session_issuer.open_session(tx.connection, account, request.client_ip))


async def refresh(deps: UserDeps, request: Request[RefreshTokenRequest]) -> Reply[SessionTokens]:
    """Exchanges a refresh token for a new pair. Of concurrent requests with the same token, one spends it.

    The others are taken for tabs of one browser, or for a client that lost the reply: within the grace period they get
    the same successor, as long as it is unspent. Any later one ends the session.
    """
    token = request.body.refresh_token.get_secret_value()
    digest = hash_token(token)
    try:
        async with deps.db.transaction(request) as tx:
            session_id = await sessions.spend_token(tx.connection, digest)
            account = await sessions.lock_owner(tx.connection, session_id)
            tx.on_commit(lambda: failpoint("user.refreshed"))
            tokens = await deps.session_issuer.rotate(tx.connection, account, session_id, request.client_ip, token)
            return tx.reply(tokens)
    except InvalidRefreshToken:
        await _raise_if_already_processed(deps, request)
        reply = await _return_successor_again(deps, token)
        if reply is not None:
            return reply
        await _raise_if_reused(deps, digest, request.client_ip)
        raise


async def _raise_if_already_processed(deps: UserDeps, request: Request[RefreshTokenRequest]) -> None:
    """Treats the same request sent twice as no reuse: the first reply is stored under its idempotency key."""
    if request.idempotency_key is not None and await deps.db.find_reply(request.idempotency_key) is not None:
        raise AlreadyProcessed


async def _return_successor_again(deps: UserDeps, token: str) -> Reply[SessionTokens] | None:
    """Returns the successor of a token that was spent a moment ago; None after that, or when it was spent itself."""
    digest = hash_token(token)
    async with deps.db.connection() as connection:
        sealed = await sessions.find_sealed_successor(connection, digest)
    if sealed is None:
        return None
    successor = open_successor(sealed, token)
    async with deps.db.transaction() as tx:
        session_id = await sessions.find_session_of_successor(
            tx.connection, digest, hash_token(successor), deps.refresh_grace_seconds
        )
        if session_id is None:
            return None
        account = await sessions.lock_owner(tx.connection, session_id)
        tx.on_commit(lambda: failpoint("user.successor_given"))
        log.info("refresh token returned again", session=str(session_id))
        return Reply(await deps.session_issuer.issue(account, session_id, successor))


async def _raise_if_reused(deps: UserDeps, digest: bytes, client_ip: str) -> None:
    """Ends the session of a token that was spent before, since it may be stolen, and raises `TokenReused`."""
    async with deps.db.transaction() as tx:
        reused = await sessions.revoke_reused(tx.connection, digest)
        if reused is not None and reused.session_ended:
            after = {"session": reused.session_id}
            tx.audit("user.token_reused", ANONYMOUS_ACTOR, client_ip, subject=reused.account_id, after=after)
    if reused is not None:
        failpoint("user.reuse_revoked")
        log.warning("spent refresh token reused", session=str(reused.session_id))
        await deps.publish_revocations()
        raise TokenReused


async def logout(deps: UserDeps, request: Request[RefreshTokenRequest]) -> Empty:
    """Ends the session of a refresh token; the reply is the same for an unknown token."""
    async with deps.db.connection() as connection:
        await sessions.revoke(connection, hash_token(request.body.refresh_token.get_secret_value()))
    failpoint("user.signed_out")
    return Empty()


async def list_sessions(deps: UserDeps, request: Request[PageParams]) -> ListPage[UserSession]:
    """Returns the caller's active sessions, newest first."""
    user, body = request.user, request.body
    async with deps.db.connection() as connection:
        found = await sessions.active(
            connection,
            user.user_id,
            before=decode_id_cursor(body.after),
            limit=body.limit + 1,
            current=user.session_id,
        )
    page, next_cursor = paginate(found, body.limit)
    return ListPage(items=page, next=next_cursor)


async def end_session(deps: UserDeps, request: Request[SessionRef]) -> Reply[Empty]:
    """Ends one of the caller's sessions."""
    async with deps.db.transaction(request) as tx:
        await sessions.end(tx.connection, request.user.user_id, request.body.id)
        return tx.reply(Empty())
