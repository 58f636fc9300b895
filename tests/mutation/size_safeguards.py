"""The safeguards of sizes: what is measured, cut or refused so that one message cannot stop a process."""

from tests.mutation.safeguard import Safeguard

SIZE_SAFEGUARDS = (
    Safeguard(
        "message size: headers are not counted",
        "infra/messaging/nats_client.py",
        "        if size > self._max_payload:\n",
        "        if len(payload) > self._max_payload:\n",
        ("tests/infra/messaging/test_nats_client.py::test_the_largest_message_arrives_and_one_byte_more_is_not_sent",),
    ),
    Safeguard(
        "message refused by NATS: the process ends",
        "infra/messaging/nats_client.py",
        "if any(violation in err_msg for violation in _MESSAGE_VIOLATIONS):",
        "if not _MESSAGE_VIOLATIONS:",
        ("tests/infra/messaging/test_nats_client.py::test_a_connection_that_nats_closes_for_one_message_comes_back",),
    ),
    Safeguard(
        "services measure messages: FastStream's own client does not",
        "infra/runtime/application.py",
        "        client = NatsClient()\n",
        '        client = __import__("nats").NATS()\n',
        ("tests/infra/messaging/test_reply_sizes.py::test_a_service_measures_its_messages",),
    ),
    Safeguard(
        "request too large: it counts as an outage",
        "infra/messaging/rpc_client.py",
        "        except nats.errors.MaxPayloadError as error:\n            raise PayloadTooLarge(",
        "        except nats.errors.MaxPayloadError as error:\n            raise Unavailable(",
        ("tests/infra/messaging/test_nats_client.py::test_every_kind_of_publisher_is_measured",),
    ),
    Safeguard(
        "reply size: a large reply is sent",
        "infra/messaging/rpc_server.py",
        "if len(reply.body) > MAX_REPLY_BYTES:",
        "if not MAX_REPLY_BYTES:",
        ("tests/infra/messaging/test_reply_sizes.py::test_a_reply_over_the_limit_is_a_problem",),
    ),
    Safeguard(
        "reply that NATS would refuse: the caller waits in vain",
        "infra/messaging/rpc_server.py",
        "            await client.publish(message.reply, reply.body, headers=reply.headers)\n",
        "",
        ("tests/infra/messaging/test_reply_sizes.py::test_a_reply_that_a_stricter_server_would_refuse_is_a_problem",),
    ),
    Safeguard(
        "field errors: all are listed",
        "infra/messaging/request_parsing.py",
        "    listed = items[:MAX_FIELD_ERRORS]\n",
        "    listed = items[: MAX_FIELD_ERRORS - 1]\n",
        ("tests/infra/messaging/test_reply_sizes.py::test_field_errors_are_capped",),
    ),
    Safeguard(
        "page size: pages are cut by count only",
        "infra/foundation/pagination.py",
        "        if count and total > max_bytes:\n",
        "        if count > total > max_bytes:\n",
        (
            "tests/infra/foundation/test_pagination.py::test_items_are_measured_in_bytes",
            "tests/e2e/test_size_limits.py::test_pages_are_cut_by_bytes_with_the_right_next",
        ),
    ),
    Safeguard(
        "outbox: an event that is too large commits",
        "infra/database/outbox.py",
        "        raise EventTooLargeError(message)\n",
        "        log.error(message)\n",
        ("tests/infra/database/test_outbox.py::test_an_event_that_is_too_large_fails_its_transaction",),
    ),
    Safeguard(
        "outbox: a row that is too large stops the relay",
        "infra/database/outbox.py",
        "FROM outbox WHERE octet_length(body) <= $2 ORDER BY",
        "FROM outbox WHERE $2::bigint > 0 ORDER BY",
        ("tests/infra/database/test_outbox.py::test_a_row_that_nats_would_refuse_does_not_hold_up_the_others",),
    ),
    Safeguard(
        "JSON: a body may grow on its way",
        "edge/request_parsing.py",
        "if fields and len(payload) > len(body) + len(added):",
        "if not fields and len(payload) > len(body) + len(added):",
        ("tests/edge/test_request_parsing.py::test_json_is_passed_on_without_growing",),
    ),
    Safeguard(
        "JSON: any depth and any number of keys",
        "edge/request_parsing.py",
        "    check_json_size(body)\n",
        "",
        (
            "tests/edge/test_request_parsing.py::test_json_has_a_limited_depth",
            "tests/edge/test_request_parsing.py::test_json_has_a_limited_number_of_keys",
        ),
    ),
    Safeguard(
        "products: one may be larger than a page",
        "services/catalog/product_writer.py",
        "if (size := len(document.encode())) > MAX_DOCUMENT_BYTES:",
        "if (size := len(document.encode())) < 0:",
        ("tests/e2e/test_size_limits.py::test_what_could_not_be_listed_or_ordered_is_refused",),
    ),
    Safeguard(
        "variants: a hundred of them may be larger than an order",
        "services/catalog/product_writer.py",
        "    _check_snapshots(snapshots)\n",
        "",
        ("tests/e2e/test_size_limits.py::test_what_could_not_be_listed_or_ordered_is_refused",),
    ),
)
