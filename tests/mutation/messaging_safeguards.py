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
        "messaging: a reader may use the API of the shop",
        "infra/messaging/accounts.py",
        '"$JS.API.CONSUMER.>",',
        '"$JS.API.CONSUMER.>", "$JS.SHOP.>",',
        (READER,),
    ),
    Safeguard(
        "messaging: a reader may publish anything",
        "infra/messaging/accounts.py",
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
