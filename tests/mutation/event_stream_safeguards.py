"""What keeps event streams complete and in the right hands, removed by `make safeguards ARGS="--only streams"`."""

from tests.mutation.safeguard import Safeguard

STREAMS = "tests/edge/test_order_event_streams.py"
TICKETS = "tests/services/order/test_event_stream_tickets.py"
FEED = "tests/services/notification/test_event_feed.py"

EVENT_STREAM_SAFEGUARDS = (
    Safeguard(
        "streams: a client that resumes gets its last event again",
        "edge/event_streams/order_status_reader.py",
        "get_next(self._client, STREAM, subjects, sequence + 1)",
        "get_next(self._client, STREAM, subjects, max(sequence, 1))",
        (f"{STREAMS}::test_a_client_resumes_without_a_gap_or_a_repetition",),
    ),
    Safeguard(
        "streams: the id of another order's event is taken",
        "edge/event_streams/order_status_reader.py",
        "if message is not None and message.sequence == sequence else None",
        "if message is not None else None",
        (f"{STREAMS}::test_an_unknown_last_event_begins_again",),
    ),
    Safeguard(
        "streams: the database's status counts as sent",
        "edge/event_streams/order_event_stream.py",
        "is_last = self._timeline.is_final and self._last_status is self._timeline.status",
        "is_last = self._timeline.is_final",
        (f"{STREAMS}::test_a_final_status_whose_event_is_on_its_way_is_waited_for",),
    ),
    Safeguard(
        "streams: a heartbeat reads nothing",
        "edge/event_streams/order_event_stream.py",
        "if not await self._is_woken(reread_seconds or self._heartbeat_seconds) and reread_seconds is None:",
        "while not await self._is_woken(reread_seconds or self._heartbeat_seconds):",
        (f"{STREAMS}::test_a_lost_hint_is_made_up_for_by_the_heartbeat",),
    ),
    Safeguard(
        "streams: a revoked session keeps its streams",
        "edge/event_streams/open_event_streams.py",
        "if stream.is_lost or stream.follower.session_id in self._revoked_sessions:",
        "if stream.is_lost:",
        (f"{STREAMS}::test_a_revoked_session_ends_its_streams_within_two_seconds",),
    ),
    Safeguard(
        "streams: a ticket of a revoked session opens a stream",
        "edge/event_stream_route_handler.py",
        "await self._deps.authenticator.require_active(caller)",
        "pass",
        (f"{STREAMS}::test_a_ticket_stands_for_who_requested_it",),
    ),
    Safeguard(
        "streams: a guest is authorized once",
        "edge/event_stream_route_handler.py",
        "by_token = credentials.order_token is not None",
        "by_token = False",
        (f"{STREAMS}::test_a_guest_is_authorized_again_before_each_event",),
    ),
    Safeguard(
        "streams: a customer has any number of streams",
        "edge/event_streams/open_event_streams.py",
        "if self._counts[owner] >= MAX_STREAMS_OF_OWNER:",
        "if False:",
        (f"{STREAMS}::test_a_customer_has_a_limited_number_of_streams",),
    ),
    Safeguard(
        "streams: a client that does not read is waited for",
        "edge/event_streams/order_event_stream.py",
        "if self._transport is None or self._transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:",
        "if self._transport is None:",
        (f"{STREAMS}::test_a_client_that_does_not_read_is_cut_off",),
    ),
    Safeguard(
        "streams: an edge that stops leaves its streams open",
        "edge/app.py",
        "stack.callback(streams.stop)",
        "pass",
        (f"{STREAMS}::test_an_edge_that_stops_sends_its_clients_elsewhere",),
    ),
    Safeguard(
        "streams: a ticket is used any number of times",
        "services/order/store/used_tickets.py",
        '{Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}',
        "{}",
        (f"{TICKETS}::test_a_ticket_is_used_once_by_one_of_many",),
    ),
    Safeguard(
        "streams: a ticket opens every order",
        "services/order/domain/event_stream_tickets.py",
        'hmac.digest(self._key, order_id.bytes + body, "sha256")',
        'hmac.digest(self._key, body, "sha256")',
        (f"{TICKETS}::test_a_ticket_opens_no_other_order",),
    ),
    Safeguard(
        "streams: a ticket never expires",
        "services/order/domain/event_stream_tickets.py",
        "return claims if now < claims.expires_at else None",
        "return claims",
        (f"{TICKETS}::test_a_ticket_expires",),
    ),
    Safeguard(
        "streams: a feed passes over what is gone",
        "services/notification/store/event_feed_reader.py",
        "if last and messages[0].sequence > last + 1:",
        "if False:",
        (f"{FEED}::test_a_cursor_before_what_is_kept_is_gone_and_names_the_oldest",),
    ),
    Safeguard(
        "streams: the feed needs a scope of notification only",
        "contracts/event_feed.py",
        "    api_key_scope=ApiKeyScope.EVENT_READ,\n",
        "",
        (f"{FEED}::test_who_may_read_and_what_is_refused",),
    ),
)
