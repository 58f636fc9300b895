"""Safeguards of NATS: what services and readers may do, and what is taken for an event or a request."""

from tests.mutation.safeguard import Safeguard

READER = "tests/e2e/test_event_reader.py::test_a_reader_may_publish_to_no_subject_of_the_shop"
TABLE = "tests/infra/messaging/test_permissions.py::test_permissions_match_the_table"

MESSAGING_SAFEGUARDS = (
    Safeguard(
        "messaging: a service creates consumers on its buckets",
        "infra/messaging/permissions.py",
        'f"$JS.API.STREAM.INFO.{stream}",',
        'f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.CONSUMER.CREATE.{stream}.>",',
        (TABLE,),
    ),
    Safeguard(
        "messaging: any message on the deliver subject is an event",
        "infra/messaging/consumer.py",
        "if not self.consumer.has_delivered(message):",
        "if False:",
        ("tests/infra/messaging/test_consumer.py::test_only_the_service_s_own_consumer_delivers_events",),
    ),
    Safeguard(
        "messaging: a header value with a line break is sent as it is",
        "infra/messaging/nats_protocol.py",
        'if lines.count("\\n") != len(headers) - 1 or lines.count("\\r") != len(headers) - 1:',
        "if not headers:",
        ("tests/infra/messaging/test_nats_protocol.py::test_what_could_forge_a_header_is_left_to_nats_py",),
    ),
    Safeguard(
        "messaging: a subject with a line break is sent as it is",
        "infra/messaging/nats_client.py",
        "        if block is None or not is_plain or not subject or self._status != Client.CONNECTED:\n",
        "        if block is None or self._status != Client.CONNECTED:\n",
        ("tests/infra/messaging/test_nats_client.py::test_a_subject_that_is_no_subject_is_refused",),
    ),
    Safeguard(
        "drain: a subscription is given up before the server has heard that it ends",
        "infra/messaging/nats_client.py",
        "        await self._send_command(PING_PROTO)\n",
        "        self._transport.write(PING_PROTO)\n",
        ("tests/infra/messaging/test_nats_client.py::test_a_ping_is_sent_behind_what_was_published",),
    ),
    Safeguard(
        "shutdown: a task that loses a cancellation is not cancelled again",
        "infra/foundation/background.py",
        "        _, running = await asyncio.wait(running, timeout=cancel_again_seconds)\n",
        "        await asyncio.wait(running)\n        return\n",
        ("tests/infra/foundation/test_background.py::test_a_task_that_loses_a_cancellation_is_ended",),
    ),
    Safeguard(
        "connection: an attempt that loses a cancellation goes on for ever",
        "infra/messaging/connection.py",
        "        await end_tasks([task], cancel_again_seconds=CANCEL_AGAIN_SECONDS)\n",
        "        task.cancel()\n        await asyncio.wait([task])\n",
        (
            "tests/infra/messaging/test_connection_errors.py::test_an_attempt_to_connect_that_loses_a_cancellation_ends_in_time",
        ),
    ),
    Safeguard(
        "shutdown: a publisher that waits for room in the buffer loses a cancellation",
        "infra/messaging/nats_client.py",
        "        if task.cancelling() > cancellations:\n",
        "        if False:\n",
        ("tests/infra/messaging/test_nats_client.py::test_a_publisher_that_waits_for_room_can_be_cancelled",),
    ),
    Safeguard(
        "group commit: what may have committed is done again",
        "infra/database/group_commit.py",
        "        except UNAVAILABLE_ERRORS as error:\n",
        "        except KeyboardInterrupt as error:\n",
        ("tests/infra/database/test_group_commit.py::test_an_uncertain_commit_is_not_repeated",),
    ),
    Safeguard(
        "outbox: an event that JetStream refused counts as stored",
        "infra/database/outbox.py",
        'not is_no_responders(reply) and "error" not in orjson.loads(reply.data)',
        "reply is not None",
        ("tests/infra/database/test_outbox.py::test_only_a_stored_event_is_acknowledged",),
    ),
    Safeguard(
        "outbox: a leader that stops does not wake the next",
        "infra/database/outbox.py",
        '                await self.client.publish(f"wake.{self.service}")\n',
        "                pass\n",
        ("tests/infra/database/test_outbox.py::test_a_leader_that_stops_wakes_the_next",),
    ),
    Safeguard(
        "deadlines: the first message after an idle time counts as arrived before the slow ticks",
        "infra/messaging/arrival_clock.py",
        " or (is_idle and now - self._last_tick > TICK_SECONDS)",
        "",
        (
            "tests/infra/messaging/test_arrival_clock.py::test_first_message_after_an_idle_time_arrived_after_the_slow_tick",
        ),
    ),
    Safeguard(
        "idle: every process wakes up twenty times a second",
        "infra/messaging/arrival_clock.py",
        "IDLE_TICK_SECONDS = 0.25",
        "IDLE_TICK_SECONDS = 0.03",
        ("tests/e2e/test_idle.py::test_an_idle_process_rarely_wakes_up",),
    ),
    Safeguard(
        "messaging: a reader may use the API of the shop",
        "infra/messaging/nats_accounts.py",
        '"$JS.API.CONSUMER.>",',
        '"$JS.API.CONSUMER.>", "$JS.SHOP.>",',
        (READER,),
    ),
    Safeguard(
        "messaging: a reader may publish anything",
        "infra/messaging/nats_accounts.py",
        "return _account(reader_account(name), [_user(name, password, READER_PERMISSIONS)], exports, imports)",
        'return _account(reader_account(name), [_user(name, password, Permissions([">"], [">"]))], exports, imports)',
        (READER,),
    ),
    Safeguard(
        "messaging: NATS micro replies to any subject",
        "infra/runtime/micro.py",
        "or not message.reply.startswith(REPLY_PREFIXES)",
        "or not message.reply",
        ("tests/e2e/test_nats_micro.py::test_a_reply_to_another_subject_is_refused",),
    ),
    Safeguard(
        "messaging: an acknowledgement that a service directs to the bucket of ended sessions ends one",
        "edge/auth/revocations.py",
        "        if body:\n",
        "        if False:\n",
        ("tests/edge/test_revocations.py::test_an_acknowledgement_sent_to_the_bucket_revokes_nothing",),
    ),
)
