"""Guests find their orders again by a mailed link, and take them over into an account.

A look-up gets the same reply in the same time whether or not there is such an order: it is only queued, and a worker
looks for the order afterwards. An order is claimed by the account whose verified e-mail is that of the order. Its token
is not needed, because who reads the mailbox can have it mailed.
"""

import math
from collections.abc import Sequence
from uuid import UUID

from contracts import user
from contracts.email_addresses import guest_order_spellings
from contracts.failure import NotFound
from contracts.model import Empty
from contracts.order import LookUpOrder, Order, OrderRef, TooManyOrderLookups
from contracts.user import ContactRequest
from infra.database.postgres import Transaction
from infra.foundation.ids import new_id, now
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.access import require_claimable
from services.order.domain.events import claimed_event
from services.order.domain.order_numbers import parse_order_number
from services.order.store import guest_limits, order_claims, order_lookup_queue, queries


async def look_up(deps: OrderDeps, request: Request[LookUpOrder]) -> Reply[Empty]:
    """Queues a look-up. Too many for one mailbox are dropped silently; too many from one address are refused."""
    body, limits = request.body, deps.order_lookup_limits
    serial = parse_order_number(body.number)
    async with deps.db.transaction(request) as tx:
        await _count_address(deps, tx, request.client_ip)
        mailbox = limits.buckets_of_mailbox(body.email)
        if await guest_limits.take(tx.connection, mailbox, limits.window_seconds) and serial is not None:
            await order_lookup_queue.enqueue(tx.connection, new_id(), serial, guest_order_spellings(body.email))
            tx.on_commit(deps.wake_order_lookups)
        return tx.reply(Empty())


async def _count_address(deps: OrderDeps, tx: Transaction, client_ip: str) -> None:
    limits = deps.order_lookup_limits
    buckets = limits.buckets_of_address(client_ip)
    if await guest_limits.take(tx.connection, buckets, limits.window_seconds):
        return
    empty = await guest_limits.find_empty(tx.connection, buckets, limits.window_seconds)
    raise TooManyOrderLookups(retry_after=math.ceil(empty.wait_seconds) if empty else 1)


async def claim(deps: OrderDeps, request: Request[OrderRef]) -> Reply[Order]:
    """Makes a guest's order the caller's own; one that is the caller's already stays as it is."""
    user_id = request.user.user_id
    emails = await _verified_emails(deps, user_id)
    async with deps.db.transaction(request) as tx:
        record = require_claimable(await queries.lock(tx.connection, request.body.id), user_id, emails)
        if record.order.user_id is None:
            record = await order_claims.claim(tx.connection, record.order.id, user_id, at=now())
            tx.publish(claimed_event(record.order))
        return tx.reply(record.order, version=record.version)


async def _verified_emails(deps: OrderDeps, user_id: UUID) -> Sequence[str]:
    """The spellings of the account's e-mail, in lower case; none if its owner has not proved that it is theirs."""
    try:
        contact = await deps.rpc.request(user.CONTACT, ContactRequest(user_id=user_id))
    except NotFound:
        return []
    return guest_order_spellings(contact.email) if contact.email_verified else []
