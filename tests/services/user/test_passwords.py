"""Passwords forgotten and changed, e-mails verified."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from contracts import user
from contracts.failure import Fail, InvalidRequest, NotFound
from contracts.notification import NotificationKind
from contracts.user import InvalidCredentials, InvalidEmailToken, InvalidRefreshToken, TooManyAttempts
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import mails as kept_mails
from infra.ops.devstack.stack import Stack
from services.notification.domain.deliveries import SUBJECT_LINES
from services.user.deps import UserDeps
from services.user.workers.cleanup import delete_expired
from tests.services.user.conftest import PASSWORD, Member, identity_of
from tests.support.event_recorder import EventRecorder
from tests.support.http import HttpClient, register_customer
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
Eventually = Callable[..., Awaitable[Any]]
Tokens = Callable[..., Awaitable[list[str]]]
NEW = "another password"
_TOKEN = re.compile(r"^ {2}([A-Za-z0-9_-]{43})$", re.MULTILINE)


@pytest.fixture
def tokens(stack: Stack, eventually: Eventually) -> Tokens:
    """The tokens that were mailed to an address, once there are so many, oldest first."""

    async def of(email: str, kind: NotificationKind, many: int = 1) -> list[str]:
        def found() -> list[str]:
            sent = [mail for mail in kept_mails(stack.layout.mail, to=email) if mail.subject == SUBJECT_LINES[kind]]
            return [token for mail in sent for token in _TOKEN.findall(mail.text)]

        return list(await eventually(lambda: len(found()) >= many and found()))

    return of


async def forgot(ask: RpcCaller, email: str, address: str) -> None:
    await ask(user.FORGOT_PASSWORD, {"email": email}, client=address)


async def test_who_registers_verifies_their_email_once(
    ask: RpcCaller, member: Member, tokens: Tokens, events: EventRecorder
) -> None:
    (token,) = await tokens(member.email, NotificationKind.VERIFY_EMAIL)
    await ask(user.VERIFY_EMAIL, {"token": token})
    assert (await ask(user.PROFILE, identity=identity_of(member.session))).email_verified
    heard = await events.wait_for(member.session.user.id, "email_verified")
    assert heard.event.model_dump() == {"user_id": member.session.user.id}
    with pytest.raises(InvalidEmailToken):
        await ask(user.VERIFY_EMAIL, {"token": token})


async def test_a_verification_that_is_asked_for_again_makes_the_first_void(
    ask: RpcCaller, member: Member, tokens: Tokens, address: str
) -> None:
    await tokens(member.email, NotificationKind.VERIFY_EMAIL)
    await ask(user.REQUEST_VERIFICATION, identity=identity_of(member.session), client=address)
    first, second = await tokens(member.email, NotificationKind.VERIFY_EMAIL, 2)
    with pytest.raises(InvalidEmailToken):
        await ask(user.VERIFY_EMAIL, {"token": first})
    await ask(user.VERIFY_EMAIL, {"token": second})


async def test_a_forgotten_password_is_set_anew_and_every_session_ends(
    ask: RpcCaller, member: Member, tokens: Tokens, address: str, events: EventRecorder
) -> None:
    elsewhere = await ask(user.LOGIN, member.credentials)
    await forgot(ask, member.email.upper(), address)
    (token,) = await tokens(member.email, NotificationKind.RESET_PASSWORD)
    await ask(user.RESET_PASSWORD, {"token": token, "password": NEW})
    for session in (member.session, elsewhere):
        with pytest.raises(InvalidRefreshToken):
            await ask(user.REFRESH, {"refresh_token": session.refresh_token})
    with pytest.raises(InvalidCredentials):
        await ask(user.LOGIN, member.credentials, client=address)
    again = await ask(user.LOGIN, {**member.credentials, "password": NEW})
    assert again.user.email_verified, "whoever reads the mail has shown it"
    with pytest.raises(InvalidEmailToken):
        await ask(user.RESET_PASSWORD, {"token": token, "password": "a third password"})
    await events.wait_for(member.session.user.id, "password_changed")


async def test_of_many_who_bring_one_token_at_once_one_sets_the_password(
    ask: RpcCaller, member: Member, tokens: Tokens, address: str
) -> None:
    await forgot(ask, member.email, address)
    (token,) = await tokens(member.email, NotificationKind.RESET_PASSWORD)
    bodies = [{"token": token, "password": f"{NEW} {n}"} for n in range(10)]
    outcomes = await asyncio.gather(*(ask(user.RESET_PASSWORD, body) for body in bodies), return_exceptions=True)
    assert sum(isinstance(outcome, InvalidEmailToken) for outcome in outcomes) == 9


async def test_asking_again_makes_the_token_before_void(
    ask: RpcCaller, member: Member, tokens: Tokens, address: str
) -> None:
    await forgot(ask, member.email, address)
    await tokens(member.email, NotificationKind.RESET_PASSWORD)
    await forgot(ask, member.email, address)
    first, second = await tokens(member.email, NotificationKind.RESET_PASSWORD, 2)
    with pytest.raises(InvalidEmailToken):
        await ask(user.RESET_PASSWORD, {"token": first, "password": NEW})
    await ask(user.RESET_PASSWORD, {"token": second, "password": NEW})


async def test_a_token_is_good_for_its_own_purpose_alone(ask: RpcCaller, member: Member, tokens: Tokens) -> None:
    (token,) = await tokens(member.email, NotificationKind.VERIFY_EMAIL)
    with pytest.raises(InvalidEmailToken):
        await ask(user.RESET_PASSWORD, {"token": token, "password": NEW})


async def test_an_expired_token_is_refused_and_forgotten(
    ask: RpcCaller,
    member: Member,
    tokens: Tokens,
    address: str,
    database: Databases,
    desk_with: Callable[..., Awaitable[UserDeps]],
) -> None:
    await forgot(ask, member.email, address)
    (token,) = await tokens(member.email, NotificationKind.RESET_PASSWORD)
    connection = await database("user")
    await connection.execute(
        "UPDATE proof SET expires_at = now() - interval '1 s' WHERE account_id = $1", member.session.user.id
    )
    with pytest.raises(InvalidEmailToken):
        await ask(user.RESET_PASSWORD, {"token": token, "password": NEW})
    await delete_expired(await desk_with())
    assert not await connection.fetchval("SELECT count(*) FROM proof WHERE account_id = $1", member.session.user.id)


@pytest.mark.parametrize("token", ["unknown", "' OR true --", "🐎", "a" * 256])
async def test_an_unknown_token_is_refused(ask: RpcCaller, token: str) -> None:
    with pytest.raises(InvalidEmailToken):
        await ask(user.RESET_PASSWORD, {"token": token, "password": NEW})
    with pytest.raises(InvalidEmailToken):
        await ask(user.VERIFY_EMAIL, {"token": token})


@pytest.mark.parametrize("password", ["short", "football", "Football", "x" * 73])
async def test_a_worthless_password_does_not_use_the_token_up(
    ask: RpcCaller, member: Member, tokens: Tokens, address: str, password: str
) -> None:
    await forgot(ask, member.email, address)
    (token,) = await tokens(member.email, NotificationKind.RESET_PASSWORD)
    with pytest.raises(InvalidRequest):
        await ask(user.RESET_PASSWORD, {"token": token, "password": password})
    await ask(user.RESET_PASSWORD, {"token": token, "password": NEW})


async def test_an_unknown_email_is_told_the_same_and_nothing_is_sent(
    ask: RpcCaller, address: str, database: Databases, eventually: Eventually, stack: Stack
) -> None:
    email = f"{new_id().hex}@example.com"
    await forgot(ask, email, address)
    connection = await database("user")

    async def looked_up() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM forgotten WHERE email_key = $1", email)

    await eventually(looked_up)
    assert kept_mails(stack.layout.mail, to=email) == []


@pytest.mark.parametrize("email", ["not an address", "", "' OR true --"])
async def test_what_is_no_email_is_told_the_same(ask: RpcCaller, address: str, email: str) -> None:
    await forgot(ask, email, address)


async def test_one_account_has_three_mails_and_nobody_is_told(
    ask: RpcCaller, member: Member, database: Databases, address: str, eventually: Eventually
) -> None:
    for n in range(6):
        await forgot(ask, member.email, f"{address}0{n}")
    await ask(user.REQUEST_VERIFICATION, identity=identity_of(member.session), client=address)
    accounts, mails = await database("user"), await database("notification")

    async def looked_up() -> bool:
        left = "SELECT count(*) FROM forgotten WHERE email_key = $1"
        queued = "SELECT count(*) FROM delivery WHERE user_id = $1"
        return (
            await accounts.fetchval(left, member.email) == 0
            and await mails.fetchval(queued, member.session.user.id) == 1 + 3
        )

    await eventually(looked_up)


async def test_one_address_asks_for_fifty_mails(ask: RpcCaller, address: str) -> None:
    for _ in range(50):
        await forgot(ask, f"{new_id().hex}@example.com", address)
    with pytest.raises(TooManyAttempts) as refused:
        await forgot(ask, f"{new_id().hex}@example.com", address)
    assert 800 < (refused.value.retry_after or 0) <= 900


async def test_no_mailed_token_is_kept_or_logged_or_said(
    ask: RpcCaller,
    member: Member,
    tokens: Tokens,
    database: Databases,
    stack: Stack,
    address: str,
    events: EventRecorder,
) -> None:
    await forgot(ask, member.email, address)
    mailed = [
        *await tokens(member.email, NotificationKind.RESET_PASSWORD),
        *await tokens(member.email, NotificationKind.VERIFY_EMAIL),
    ]
    said = [
        await events.wait_for(member.session.user.id, name) for name in ("reset_requested", "verification_requested")
    ]
    for secret in mailed:
        for service in ("user", "notification"):
            assert secret not in await _everything(await database(service))
            assert secret not in stack.layout.log(service).read_text()
        assert all(secret not in one.event.model_dump_json() for one in said)
    assert member.email not in stack.layout.log("user").read_text()


async def _everything(connection: asyncpg.Connection) -> str:
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [row for (table,) in tables for row in await connection.fetch(f'SELECT * FROM "{table}"')]  # noqa: S608
    return "\n".join(
        value.decode("latin-1") if isinstance(value, bytes) else str(value) for row in rows for value in row.values()
    )


async def test_a_token_is_made_for_notification_alone(
    as_service: Callable[[str], Awaitable[RpcCaller]], ask: RpcCaller, member: Member, events: EventRecorder
) -> None:
    heard = await events.wait_for(member.session.user.id, "verification_requested")
    body = {"proof_id": str(heard.event.proof_id)}  # type: ignore[attr-defined]
    proof = await (await as_service("notification"))(user.PROOF, body)
    assert (proof.email, proof.first_name) == (member.email, "Ada")
    assert proof.token.get_secret_value() not in repr(proof)
    with pytest.raises(NotFound):
        await (await as_service("notification"))(user.PROOF, {"proof_id": str(new_id())})


async def test_a_changed_password_ends_the_other_sessions(ask: RpcCaller, member: Member, address: str) -> None:
    elsewhere = await ask(user.LOGIN, member.credentials)
    body = {"current_password": PASSWORD, "new_password": NEW}
    await ask(user.CHANGE_PASSWORD, body, identity=identity_of(member.session), client=address)
    await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})
    with pytest.raises(InvalidRefreshToken):
        await ask(user.REFRESH, {"refresh_token": elsewhere.refresh_token})
    await ask(user.LOGIN, {**member.credentials, "password": NEW})


async def test_a_wrong_current_password_counts_as_a_failed_login(ask: RpcCaller, member: Member, address: str) -> None:
    body = {"current_password": "wrong horse", "new_password": NEW}
    outcomes = []
    for _ in range(6):
        with pytest.raises(Fail) as refused:
            await ask(user.CHANGE_PASSWORD, body, identity=identity_of(member.session), client=address)
        outcomes.append(refused.value.code)
    assert outcomes == ["invalid_credentials"] * 5 + ["too_many_attempts"]


async def test_a_new_password_is_no_common_one(ask: RpcCaller, member: Member, address: str) -> None:
    body = {"current_password": PASSWORD, "new_password": "Password1"}
    with pytest.raises(InvalidRequest) as refused:
        await ask(user.CHANGE_PASSWORD, body, identity=identity_of(member.session), client=address)
    assert [error.pointer for error in refused.value.errors] == ["/new_password"]


async def test_the_way_over_http(http: HttpClient, tokens: Tokens) -> None:
    customer = await register_customer(http)
    for email in (customer.email, f"{new_id().hex}@example.com"):
        answered = await http.post("/auth/password/forgot", {"email": email})
        assert (answered.status, answered.json) == (202, {})
    (token,) = await tokens(customer.email, NotificationKind.RESET_PASSWORD)
    answered = await http.post("/auth/password/reset", {"token": token, "password": NEW})
    assert answered.status == 204
    (token,) = await tokens(customer.email, NotificationKind.VERIFY_EMAIL)
    assert (await http.post("/auth/email/verify", {"token": token})).status == 204
    assert (await http.post("/auth/email/verify", {"token": token})).code == "invalid_proof"
