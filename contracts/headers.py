"""The names of the headers that NATS messages carry."""

TRACEPARENT = "traceparent"
REQUEST_ID = "Souk-Request-Id"
TIME_LEFT = "Souk-Time-Left"
"""Milliseconds that the caller still waits for the reply, counted from the sending of the request. It is a duration, so
the clocks of two machines need not agree.
"""
IDENTITY = "Souk-Identity"
CLIENT_IP = "Souk-Client"
"""The IP address that the HTTP request came from."""
IDEMPOTENCY_KEY = "Souk-Idempotency-Key"
ORDER_TOKEN = "Souk-Order-Access"  # noqa: S105 - the name of a header
"""The token of a guest's order, as the client sent it. The order service decides what it opens."""
IF_MATCH = "Souk-If-Match"
"""The version that the caller expects to be current."""

VERSION = "Souk-Version"
REPLAYED = "Souk-Replayed"
CONTENT_TYPE = "Content-Type"
ERROR = "Nats-Service-Error"
ERROR_CODE = "Nats-Service-Error-Code"

EVENT_ID = "ce-id"
EVENT_TYPE = "ce-type"
EVENT_SOURCE = "ce-source"
EVENT_SUBJECT = "ce-subject"
"""The id of the aggregate that the event is about."""
EVENT_TIME = "ce-time"
EVENT_SPEC_VERSION = "ce-specversion"
MESSAGE_ID = "Nats-Msg-Id"

DEAD_REASON = "Souk-Dead-Reason"
DEAD_SERVICE = "Souk-Dead-Service"
DEAD_SUBJECT = "Souk-Dead-Subject"
DEAD_STREAM = "Souk-Dead-Stream"
DEAD_SEQUENCE = "Souk-Dead-Sequence"
"""The event's sequence number in that stream."""
DEAD_DELIVERIES = "Souk-Dead-Deliveries"

AUDIT_SEQ = "Souk-Trail-Seq"
"""The sequence number of an audit log's last entry."""
AUDIT_HASH = "Souk-Trail-Hash"
"""The hash of that entry."""
