"""A session that has ended: its access tokens are refused on the very next request, on every edge."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from nats.aio.client import Client

from edge.auth import revocations as ended
from edge.auth.revocations import PRUNE_THRESHOLD, RevokedSessions
from infra.foundation.ids import new_id
from infra.messaging import connection as messaging
from infra.messaging.topology import REVOKED_SESSIONS
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient

OpenEdge = Callable[..., Any]


async def post(client: Client, session_id: object) -> None:
    """As the user service does."""
    await client.jetstream().publish(REVOKED_SESSIONS.subject_for(session_id), b"", stream=REVOKED_SESSIONS.stream_name)


async def status(http: HttpClient, token: str) -> int:
    return (await http.with_token(token).get("/orders")).status


async def test_a_session_ends_on_two_edges_with_all_its_tokens(
    open_edge: OpenEdge, backs: StubServices, signer: TokenSigner
) -> None:
    session_id = new_id()
    edges = [(await open_edge()).http for _ in range(2)]
    token, another = (signer.token(sid=str(session_id), jti=str(n)) for n in range(2))
    lasting = signer.token(sid=str(new_id()))
    for http in edges:
        assert [await status(http, one) for one in (token, lasting)] == [200, 200]
    await post(backs.client, session_id)

    async def refused() -> bool:
        return [await status(http, token) for http in edges] == [401, 401]

    await eventually(refused)
    for http in edges:
        assert [await status(http, one) for one in (another, lasting)] == [401, 200]
    assert (await edges[0].as_(token).get("/orders")).code == "invalid_token"


async def test_an_edge_that_starts_later_knows(open_edge: OpenEdge, backs: StubServices, signer: TokenSigner) -> None:
    sessions = [new_id() for _ in range(3)]
    for one in sessions:
        await post(backs.client, one)
    http = (await open_edge()).http
    assert [await status(http, signer.token(sid=str(one))) for one in sessions] == [401, 401, 401]


async def test_a_board_of_several_batches_is_read_to_its_end(
    backs: StubServices, edge_nats: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [new_id() for _ in range(7)]
    for one in sessions:
        await post(backs.client, one)
    monkeypatch.setattr(ended, "BATCH", 2)
    async with messaging.connect(edge_nats.nats_url, "edge", edge_nats.password("edge")) as client:
        board = RevokedSessions(client)
        await board.subscribe()
        assert board.is_current
        assert all(one in board for one in sessions)
        assert new_id() not in board
        assert None not in board


async def test_what_was_posted_while_nats_was_away_is_known_afterwards(
    open_edge: OpenEdge, edge_nats: Stack, signer: TokenSigner, backs: StubServices
) -> None:
    session_id = new_id()
    http, token = (await open_edge()).http, signer.token(sid=str(session_id))
    assert await status(http, token) == 200
    await edge_nats.stop("nats")
    assert await status(http, token) == 503
    await edge_nats.start("nats")
    async with messaging.connect(edge_nats.nats_url, "operator", edge_nats.password("operator")) as client:
        await post(client, session_id)
    found: list[int] = []

    async def answered() -> bool:
        found.append(await status(http, token))
        return found[-1] != 503

    await eventually(answered)
    assert found[-1] == 401, found


async def test_nonsense_on_the_board_ends_nothing(
    open_edge: OpenEdge, backs: StubServices, signer: TokenSigner
) -> None:
    await post(backs.client, "nonsense")
    http = (await open_edge()).http
    assert await status(http, signer.token(sid=str(new_id()))) == 200


async def test_what_expired_is_forgotten(backs: StubServices, monkeypatch: pytest.MonkeyPatch) -> None:
    board, now = RevokedSessions(backs.client), time.monotonic()
    old = new_id()
    board._add(str(old))
    monkeypatch.setattr(time, "monotonic", lambda: now + REVOKED_SESSIONS.ttl_seconds + 1)
    for _ in range(PRUNE_THRESHOLD):
        board._add(str(new_id()))
    assert old not in board
