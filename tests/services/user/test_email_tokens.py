"""Mailed tokens: they verify e-mails, serve one purpose, and are stored nowhere."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from contracts import user
from contracts.failure import NotFound
from contracts.notification import NotificationKind
from contracts.user import InvalidEmailToken
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from tests.services.user.conftest import MailedTokens, Member, all_rows_as_text, identity_of, request_reset
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
Eventually = Callable[..., Awaitable[Any]]


async def test_email_is_verified_once(
    rpc: RpcCaller, member: Member, mailed_tokens: MailedTokens, events: EventRecorder
) -> None:
    (token,) = await mailed_tokens(member.email, NotificationKind.VERIFY_EMAIL)
    await rpc(user.VERIFY_EMAIL, {"token": token})
    assert (await rpc(user.PROFILE, identity=identity_of(member.session))).email_verified
    received = await events.wait_for(member.session.user.id, "email_verified")
    assert received.event.model_dump() == {"user_id": member.session.user.id}
    with pytest.raises(InvalidEmailToken):
        await rpc(user.VERIFY_EMAIL, {"token": token})


async def test_new_verification_token_voids_the_previous_one(
    rpc: RpcCaller, member: Member, mailed_tokens: MailedTokens, client_ip: str
) -> None:
    await mailed_tokens(member.email, NotificationKind.VERIFY_EMAIL)
    await rpc(user.REQUEST_VERIFICATION, identity=identity_of(member.session), client=client_ip)
    first, second = await mailed_tokens(member.email, NotificationKind.VERIFY_EMAIL, 2)
    with pytest.raises(InvalidEmailToken):
        await rpc(user.VERIFY_EMAIL, {"token": first})
    await rpc(user.VERIFY_EMAIL, {"token": second})


async def test_token_is_valid_for_its_purpose_only(rpc: RpcCaller, member: Member, mailed_tokens: MailedTokens) -> None:
    (token,) = await mailed_tokens(member.email, NotificationKind.VERIFY_EMAIL)
    with pytest.raises(InvalidEmailToken):
        await rpc(user.RESET_PASSWORD, {"token": token, "password": "another password"})


async def test_mailed_tokens_are_neither_stored_nor_logged_nor_published(
    rpc: RpcCaller,
    member: Member,
    mailed_tokens: MailedTokens,
    database: Databases,
    stack: Stack,
    client_ip: str,
    events: EventRecorder,
) -> None:
    await request_reset(rpc, member.email, client_ip)
    mailed = [
        *await mailed_tokens(member.email, NotificationKind.RESET_PASSWORD),
        *await mailed_tokens(member.email, NotificationKind.VERIFY_EMAIL),
    ]
    published = [
        await events.wait_for(member.session.user.id, name) for name in ("reset_requested", "verification_requested")
    ]
    for secret in mailed:
        for service in ("user", "notification"):
            assert secret not in await all_rows_as_text(await database(service))
            assert secret not in stack.data_dir.log_file(service).read_text()
        assert all(secret not in record.event.model_dump_json() for record in published)
    assert member.email not in stack.data_dir.log_file("user").read_text()


async def test_notification_gets_the_token_for_the_mail(
    as_service: Callable[[str], Awaitable[RpcCaller]], rpc: RpcCaller, member: Member, events: EventRecorder
) -> None:
    received = await events.wait_for(member.session.user.id, "verification_requested")
    body = {"proof_id": str(received.event.proof_id)}  # type: ignore[attr-defined]
    proof = await (await as_service("notification"))(user.PROOF, body)
    assert (proof.email, proof.first_name) == (member.email, "Ada")
    assert proof.token.get_secret_value() not in repr(proof)
    with pytest.raises(NotFound):
        await (await as_service("notification"))(user.PROOF, {"proof_id": str(new_id())})
