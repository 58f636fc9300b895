"""Which tickets for event streams are used up: an entry each in a NATS key-value bucket, until they would expire."""

import nats.errors
from nats.aio.client import Client
from nats.js.api import Header
from nats.js.errors import APIError

from contracts.failure import Unavailable
from contracts.model import Id
from infra.messaging.topology import USED_TICKETS

ACK_TIMEOUT_SECONDS = 2.0
WRONG_LAST_SEQUENCE_ERROR_CODE = 10071


async def use(client: Client, ticket_id: Id) -> bool:
    """Uses up a ticket. Returns False if it was used before, on any process; raises `Unavailable` if that is unknown.

    NATS stores the entry only if there is none yet, so of two uses at the same moment one fails.
    """
    js = client.jetstream(timeout=ACK_TIMEOUT_SECONDS)
    is_first = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
    try:
        await js.publish(USED_TICKETS.subject_for(ticket_id), stream=USED_TICKETS.stream_name, headers=is_first)
    except APIError as error:
        if error.err_code == WRONG_LAST_SEQUENCE_ERROR_CODE:
            return False
        raise Unavailable(retry_after=1) from error
    except (nats.errors.Error, OSError) as error:
        raise Unavailable(retry_after=1) from error
    return True
