"""Revoked sessions: every edge refuses their access tokens on the next request."""

import time

import pytest
from nats.aio.client import Client

from edge.auth import revocations
from edge.auth.revocations import PRUNE_THRESHOLD, RevokedSessions
from infra.foundation.ids import new_id
from infra.messaging.connection import connect
from infra.messaging.topology import REVOKED_SESSIONS
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import OpenEdge, StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient


async def revoke(client: Client, session_id: object) -> None:
    """Publishes a revocation as the user service does."""
    await client.jetstream().publish(REVOKED_SESSIONS.subject_for(session_id), b"", stream=REVOKED_SESSIONS.stream_name)


async def get_is_refused(http: HttpClient, token: str) -> bool:
    return await get_status(http, token) == 401


async def get_status(http: HttpClient, token: str) -> int:
    return (await http.with_token(token).get("/orders")).status


async def test_a_revoked_session_is_refused_on_two_edges_with_all_its_tokens(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner
) -> None:
    session_id = new_id()
    edges = [(await open_edge()).http for _ in range(2)]
    token, another = (signer.token(sid=str(session_id), jti=str(n)) for n in range(2))
    unrevoked = signer.token(sid=str(new_id()))
    for http in edges:
        assert [await get_status(http, each) for each in (token, unrevoked)] == [200, 200]
    await revoke(services.client, session_id)

    async def refused() -> bool:
        return [await get_status(http, token) for http in edges] == [401, 401]

    await eventually(refused)
    for http in edges:
        assert [await get_status(http, each) for each in (another, unrevoked)] == [401, 200]
    assert (await edges[0].with_token(token).get("/orders")).code == "invalid_token"


async def test_an_edge_that_starts_later_reads_stored_revocations(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner
) -> None:
    sessions = [new_id() for _ in range(3)]
    for session_id in sessions:
        await revoke(services.client, session_id)
    http = (await open_edge()).http
    assert [await get_status(http, signer.token(sid=str(session_id))) for session_id in sessions] == [401, 401, 401]


async def test_an_acknowledgement_sent_to_the_bucket_revokes_nothing(
    open_edge: OpenEdge, services: StubServices, edge_nats: Stack, signer: TokenSigner
) -> None:
    """The catalog may not write to the bucket, but chooses where the acknowledgement of its own event goes."""
    session_id, behind = new_id(), new_id()
    http = (await open_edge()).http
    async with connect(edge_nats.nats_url, "catalog", edge_nats.nats_password("catalog")) as client:
        await client.publish(f"event.catalog.{new_id()}.changed", b"{}", reply=REVOKED_SESSIONS.subject_for(session_id))
        await client.flush()
    await revoke(services.client, behind)
    await eventually(lambda: get_is_refused(http, signer.token(sid=str(behind))))
    later = (await open_edge()).http
    for each in (http, later):
        assert await get_status(each, signer.token(sid=str(session_id))) == 200


async def test_a_bucket_of_several_batches_is_read_completely(
    services: StubServices, edge_nats: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [new_id() for _ in range(7)]
    for session_id in sessions:
        await revoke(services.client, session_id)
    monkeypatch.setattr(revocations, "BATCH_SIZE", 2)
    async with connect(edge_nats.nats_url, "edge", edge_nats.nats_password("edge")) as client:
        revoked_sessions = RevokedSessions(client)
        await revoked_sessions.subscribe()
        assert revoked_sessions.is_current
        assert all(session_id in revoked_sessions for session_id in sessions)
        assert new_id() not in revoked_sessions
        assert None not in revoked_sessions


async def test_a_revocation_published_during_a_reconnection_is_not_missed(
    open_edge: OpenEdge, edge_nats: Stack, signer: TokenSigner, services: StubServices
) -> None:
    session_id = new_id()
    http, token = (await open_edge()).http, signer.token(sid=str(session_id))
    assert await get_status(http, token) == 200
    await edge_nats.stop("nats")
    assert await get_status(http, token) == 503
    await edge_nats.start("nats")
    async with connect(edge_nats.nats_url, "operator", edge_nats.nats_password("operator")) as client:
        await revoke(client, session_id)
    statuses: list[int] = []

    async def is_back() -> bool:
        statuses.append(await get_status(http, token))
        return statuses[-1] != 503

    await eventually(is_back)
    assert statuses[-1] == 401, statuses


async def test_invalid_keys_in_the_bucket_are_ignored(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner
) -> None:
    await revoke(services.client, "nonsense")
    http = (await open_edge()).http
    assert await get_status(http, signer.token(sid=str(new_id()))) == 200


async def test_expired_revocations_are_dropped(services: StubServices, monkeypatch: pytest.MonkeyPatch) -> None:
    revoked_sessions, now = RevokedSessions(services.client), time.monotonic()
    old = new_id()
    revoked_sessions._add(REVOKED_SESSIONS.subject_for(old), b"")
    monkeypatch.setattr(time, "monotonic", lambda: now + REVOKED_SESSIONS.ttl_seconds + 1)
    for _ in range(PRUNE_THRESHOLD):
        revoked_sessions._add(REVOKED_SESSIONS.subject_for(new_id()), b"")
    assert old not in revoked_sessions
