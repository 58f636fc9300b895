"""The feed of events: complete, merged by time, filtered by type, and honest about what is gone."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from nats.js.api import StreamConfig

from contracts import headers
from contracts.catalog import Product
from contracts.event_feed import LIST_EVENTS, CursorGone, EventFeedPage
from contracts.failure import Forbidden, InvalidCursor, InvalidRequest, ScopeMissing
from contracts.identity import ApiKeyScope, Identity
from infra.foundation.ids import new_id
from infra.messaging.topology import event_stream_names
from services.notification.domain.event_feed import FeedEvent
from services.notification.store.event_feed_reader import (
    EventFeedReader,
    Positions,
    decode_positions,
    encode_positions,
)
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import RpcCaller, api_key_identity, customer_identity

START = datetime(2026, 1, 31, tzinfo=UTC)
MACHINE = api_key_identity(ApiKeyScope.EVENT_READ)


@dataclass
class OwnStreams:
    """Two streams of events that no service uses."""

    operator: RpcCaller
    names: list[str] = field(default_factory=lambda: [f"FEED{new_id().hex.upper()}" for _ in range(2)])

    async def create(self) -> None:
        js = self.operator.client.jetstream()
        for name in self.names:
            await js.add_stream(StreamConfig(name=name, subjects=[f"event.{name.lower()}.>"], allow_direct=True))

    async def publish(self, stream: str, second: int) -> None:
        sent = {headers.EVENT_TIME: (START + timedelta(seconds=second)).isoformat(), headers.EVENT_TYPE: "a.type"}
        subject = f"event.{stream.lower()}.x.happened"
        await self.operator.client.jetstream().publish(subject, orjson.dumps(second), headers=sent, stream=stream)

    def reader(self, positions: Positions | None = None) -> EventFeedReader:
        known = {**dict.fromkeys(self.names, 0), **(positions or {})}
        return EventFeedReader(self.operator.client, known, self.names)


@pytest.fixture
async def streams(operator: RpcCaller) -> AsyncIterator[OwnStreams]:
    own = OwnStreams(operator)
    await own.create()
    yield own
    for name in own.names:
        await operator.client.jetstream().delete_stream(name)


async def rest(reader: EventFeedReader) -> list[Any]:
    found = []
    while (event := await reader.next_event()) is not None:
        found.append(event.data)
    return found


async def test_streams_are_merged_by_the_times_of_their_events(
    streams: OwnStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notification.store.event_feed_reader.BATCH_SIZE", 2)
    one, another = streams.names
    for second in (1, 4, 5, 6, 9):
        await streams.publish(one, second)
    for second in (2, 3, 7, 8):
        await streams.publish(another, second)
    reader = streams.reader()
    first = [await reader.next_event() for _ in range(4)]
    assert [event.data for event in first if event] == [1, 2, 3, 4]
    assert reader.positions == {one: 2, another: 2}
    assert await rest(streams.reader(reader.positions)) == [5, 6, 7, 8, 9]


async def test_a_stream_keeps_its_order_whatever_the_times_of_its_events(streams: OwnStreams) -> None:
    one, another = streams.names
    for second in (5, 1, 3):
        await streams.publish(one, second)
    await streams.publish(another, 2)
    assert await rest(streams.reader()) == [2, 5, 1, 3]


async def test_a_cursor_before_what_is_kept_is_gone_and_names_the_oldest(streams: OwnStreams) -> None:
    one, another = streams.names
    for second in range(1, 6):
        await streams.publish(one, second)
    await streams.publish(another, 10)
    js = streams.operator.client.jetstream()
    await js.purge_stream(one, seq=4)
    with pytest.raises(CursorGone) as gone:
        await rest(streams.reader({one: 2}))
    assert gone.value.oldest == encode_positions({one: 3, another: 0})
    assert await rest(streams.reader({one: 3})) == [4, 5, 10]
    assert await rest(streams.reader({one: 0})) == [4, 5, 10], "the beginning is never gone"


async def test_an_event_that_an_operator_deleted_is_left_out(streams: OwnStreams) -> None:
    one, _ = streams.names
    for second in range(1, 5):
        await streams.publish(one, second)
    await streams.operator.client.jetstream().delete_msg(one, 3)
    assert await rest(streams.reader({one: 2})) == [4]


async def now_cursor(operator: RpcCaller) -> str:
    js = operator.client.jetstream()
    return encode_positions({name: (await js.stream_info(name)).state.last_seq for name in event_stream_names()})


async def test_a_machine_reads_what_was_published(
    rpc: RpcCaller,
    operator: RpcCaller,
    events: EventRecorder,
    new_product: Callable[..., Awaitable[Product]],
) -> None:
    cursor = await now_cursor(operator)
    product = await new_product()
    published = await events.wait_for(product.id, "created")
    page: EventFeedPage = await rpc(
        LIST_EVENTS, {"after": cursor, "type": ["souk.catalog.created"], "limit": 100}, identity=MACHINE
    )
    (item,) = [item for item in page.items if item["subject"] == str(product.id)]
    assert (item["specversion"], item["type"], item["source"]) == ("1.0", "souk.catalog.created", "/souk/catalog")
    assert (item["id"], item["time"]) == (published.headers[headers.EVENT_ID], published.headers[headers.EVENT_TIME])
    assert item["data"] == published.event.model_dump(mode="json", by_alias=True)
    assert {item["type"] for item in page.items} == {"souk.catalog.created"}
    later: EventFeedPage = await rpc(LIST_EVENTS, {"after": page.next, "type": ["souk.user.erased"]}, identity=MACHINE)
    assert later.items == []
    assert decode_positions(later.next)["CATALOG"] == decode_positions(page.next)["CATALOG"]


async def test_pages_continue_where_the_last_one_ended(
    rpc: RpcCaller, operator: RpcCaller, events: EventRecorder, new_product: Callable[..., Awaitable[Product]]
) -> None:
    cursor = await now_cursor(operator)
    products = [await new_product() for _ in range(3)]
    await events.wait_for(products[-1].id, "created")
    seen: list[str] = []
    while set(map(str, (product.id for product in products))) - set(seen):
        page = await rpc(LIST_EVENTS, {"after": cursor, "limit": 1}, identity=MACHINE)
        seen += [item["subject"] for item in page.items if item["type"] == "souk.catalog.created"]
        cursor = page.next
    assert len(seen) == len(set(seen))


async def test_who_may_read_and_what_is_refused(rpc: RpcCaller, admin: Identity) -> None:
    others = [scope for scope in ApiKeyScope if scope is not ApiKeyScope.EVENT_READ]
    with pytest.raises(ScopeMissing):
        await rpc(LIST_EVENTS, {}, identity=api_key_identity(*others))
    with pytest.raises(Forbidden):
        await rpc(LIST_EVENTS, {}, identity=customer_identity())
    with pytest.raises(InvalidRequest):
        await rpc(LIST_EVENTS, {"type": ["souk.order.eaten"]}, identity=admin)
    for cursor in ("x", "W10", encode_positions({"ORDER": -1})):
        with pytest.raises(InvalidCursor):
            await rpc(LIST_EVENTS, {"after": cursor}, identity=admin)


def test_an_event_that_is_too_large_for_a_page_comes_without_its_data() -> None:
    event = FeedEvent("ORDER", 1, "souk.order.placed", START, {"id": "1"}, {"items": []}, size=100)
    assert event.to_cloud_event(99) == {"id": "1"}
    assert event.to_cloud_event(100) == {"id": "1", "data": {"items": []}}
