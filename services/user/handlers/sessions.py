"""Signing in, staying signed in, signing out."""

import logging
from typing import NoReturn

from contracts.model import Empty
from contracts.user import (
    InvalidCredentials,
    InvalidRefreshToken,
    Login,
    Refresh,
    Session,
    TokenReused,
    TooManyAttempts,
)
from infra.crash import crash_point
from infra.idempotency import Replay
from infra.postgres import Connection
from infra.rpc import Answer, Ask
from services.user import domain
from services.user.desk import Desk
from services.user.domain import Attempt
from services.user.store import accounts, failures, sessions

log = logging.getLogger("souk.user")


async def login(desk: Desk, ask: Ask[Login]) -> Answer[Session]:
    """Signs in. Failures are judged again after the password was hashed: guesses made at once count like others."""
    attempt = domain.attempt(ask.body.email, ask.client, desk.pepper)
    async with desk.db.connection() as connection:
        await _refuse_if_too_many(connection, desk, attempt)
        account = await accounts.by_email(connection, domain.email_key(ask.body.email))
    matches = await desk.hasher.matches(ask.body.password, account.password_hash if account else None)
    if account is None or not matches or not account.is_active:
        await _fail(desk, attempt)
    async with desk.db.transaction(ask) as tx:
        await failures.line_up(tx.connection, attempt)
        await _refuse_if_too_many(tx.connection, desk, attempt)
        if not await accounts.still_opens(tx.connection, account):
            raise InvalidCredentials
        await failures.forgive(tx.connection, attempt)
        tx.afterwards(lambda: crash_point("user.signed_in"))
        return tx.answer(await desk.sign_in(tx.connection, account))


async def _refuse_if_too_many(connection: Connection, desk: Desk, attempt: Attempt) -> None:
    seconds = domain.wait(await failures.recent(connection, attempt, desk.limits), desk.limits)
    if seconds is not None:
        raise TooManyAttempts(retry_after=seconds)


async def _fail(desk: Desk, attempt: Attempt) -> NoReturn:
    async with desk.db.transaction() as tx:
        await failures.line_up(tx.connection, attempt)
        await _refuse_if_too_many(tx.connection, desk, attempt)
        await failures.add(tx.connection, attempt)
    crash_point("user.failure_noted")
    raise InvalidCredentials


async def refresh(desk: Desk, ask: Ask[Refresh]) -> Answer[Session]:
    """Exchanges a refresh token for a new pair. Of two who bring the same one, one wins and the session ends."""
    token = domain.digest(ask.body.refresh_token.get_secret_value())
    try:
        async with desk.db.transaction(ask) as tx:
            session_id = await sessions.spend(tx.connection, token)
            account = await sessions.owner(tx.connection, session_id)
            tx.afterwards(lambda: crash_point("user.refreshed"))
            return tx.answer(await desk.go_on(tx.connection, account, session_id))
    except InvalidRefreshToken:
        await _look_for_reuse(desk, ask, token)
        raise


async def _look_for_reuse(desk: Desk, ask: Ask[Refresh], token: bytes) -> None:
    """The same request sent twice is no reuse: its idempotency key has the first answer."""
    if ask.key is not None and await desk.db.find(ask.key) is not None:
        raise Replay
    async with desk.db.connection() as connection:
        session_id = await sessions.revoke_reused(connection, token)
    if session_id is not None:
        crash_point("user.reuse_revoked")
        log.warning("a spent refresh token came again", extra={"fields": {"session": str(session_id)}})
        raise TokenReused


async def logout(desk: Desk, ask: Ask[Refresh]) -> Empty:
    """Ends the session of any of its refresh tokens; says nothing about tokens that are of none."""
    async with desk.db.connection() as connection:
        await sessions.revoke(connection, domain.digest(ask.body.refresh_token.get_secret_value()))
    crash_point("user.signed_out")
    return Empty()
