"""Groups the changes of carts that are under way together: one command writes them all.

Changes that arrive while a group is written are the next group: an idle service writes a change at once, a busy one
writes few and large groups. Several changes of one cart are decided one after another, and written as one update.

A change is decided on the cart as this process knows it. Only a write proves that this is the stored cart. So a change
that is refused, has no effect, removes lines or conflicts is left to its request, which decides it by itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID
from weakref import WeakValueDictionary

from contracts.failure import Fail
from infra.foundation import trace
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from services.cart.domain.carts import CartEdit, CartRecord, QuotesBySku, grow_cart
from services.cart.price_client import PriceClient
from services.cart.store.carts import WriteConflict, WriteTime
from services.cart.store.grouped_writes import CartUpdate, GroupedWrites
from services.cart.write_cache import CartKey, WriteCache

MAX_GROUP_SIZE = 64

Decide = Callable[[CartRecord, QuotesBySku], CartEdit | None]
"""Returns the edit to write, or None when the cart is as requested already; raises a `Fail` to refuse."""


@dataclass(frozen=True, slots=True)
class WrittenCart:
    """A cart after a change, and the quotes that the change was decided on."""

    cart: CartRecord
    quotes: QuotesBySku


@dataclass(frozen=True, slots=True)
class CartChange:
    """A change of one cart. `skus` are those whose quotes the decision needs besides those of the cart's lines."""

    key: CartKey
    decide: Decide
    skus: tuple[str, ...]
    write_time: Callable[[UUID | None], WriteTime]
    outcome: asyncio.Future[WrittenCart | None] = field(default_factory=asyncio.Future)
    traced: trace.Trace = field(default_factory=trace.current)


@dataclass(slots=True)
class _CartPlan:
    """The changes of one cart in a group. When one is left to its request, so are those after it: they keep order."""

    before: CartRecord
    after: CartRecord
    decided: list[tuple[CartChange, WrittenCart]] = field(default_factory=list)
    left: list[CartChange] = field(default_factory=list)

    def finish(self, error: BaseException | None) -> None:
        """Gives each change its outcome, in order."""
        for change, written in self.decided:
            if error is None or isinstance(error, WriteConflict):
                _finish(change, None if error else written)
            else:
                _fail(change, error)
        for change in self.left:
            _finish(change, None)


class GroupWriter:
    """Writes changes of carts in groups, one group at a time."""

    def __init__(self, writes: GroupedWrites, cache: WriteCache, prices: PriceClient) -> None:
        self._writes = writes
        self._cache = cache
        self._prices = prices
        self._waiting: list[CartChange] = []
        self._task: asyncio.Task[None] | None = None
        self._turns: WeakValueDictionary[CartKey, asyncio.Lock] = WeakValueDictionary()

    async def write(self, change: CartChange) -> WrittenCart | None:
        """Writes the change; None when its request has to decide it by itself, on the stored cart."""
        self._waiting.append(change)
        if self._task is None:
            self._task = asyncio.create_task(self._write_groups())
        return await change.outcome

    def turn_of(self, key: CartKey) -> asyncio.Lock:
        """Admits the changes of one cart that were left to their requests one after another, in their order."""
        return self._turns.setdefault(key, asyncio.Lock())

    async def _write_groups(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MAX_GROUP_SIZE], self._waiting[MAX_GROUP_SIZE:]
                # The deadline of the first request must not end the write for requests that wait longer.
                with trace.activate(replace(group[0].traced, deadline=None)):
                    await self._write_group(group)
        finally:
            self._task = None

    async def _write_group(self, group: Sequence[CartChange]) -> None:
        try:
            plans = self._plan(group)
            await self._write_plans([plan for plan in plans.values() if plan.decided])
        except Exception as error:  # noqa: BLE001 - every change has an outcome
            for change in group:
                _fail(change, error)
        else:
            for plan in plans.values():
                plan.finish(None)

    def _plan(self, group: Sequence[CartChange]) -> dict[CartKey, _CartPlan]:
        plans: dict[CartKey, _CartPlan] = {}
        for change in group:
            if change.key not in plans:
                if (cart := self._cache.get(change.key)) is None:
                    _finish(change, None)
                    continue
                plans[change.key] = _CartPlan(cart, cart)
            self._decide(plans[change.key], change)
        return plans

    def _decide(self, plan: _CartPlan, change: CartChange) -> None:
        quotes = self._prices.cached_quotes({*plan.after.lines_by_sku, *change.skus})
        after = None if plan.left or quotes is None else _decided_cart(plan.after, change, quotes)
        if quotes is None or after is None:
            plan.left.append(change)
            return
        plan.after = after
        plan.decided.append((change, WrittenCart(after, quotes)))

    async def _write_plans(self, plans: Sequence[_CartPlan]) -> None:
        if not plans:
            return
        at = now()
        updates = [CartUpdate(plan.before, plan.after, at) for plan in plans]
        try:
            errors = await self._writes.write(updates)
        except Exception:  # noqa: BLE001 - which of them are written is open, or one of them cannot be sent
            self._cache.clear()  # a server that has crashed may have lost what this process has read from it
            errors = await self._writes.repeat(updates)
        failpoint("cart.group_written")
        for plan, error in zip(plans, errors, strict=True):
            key = plan.decided[0][0].key
            if error is None:
                self._cache.put(key, plan.after)
            else:
                self._cache.drop(key)
            plan.finish(error)


def _decided_cart(cart: CartRecord, change: CartChange, quotes: QuotesBySku) -> CartRecord | None:
    try:
        edit = change.decide(cart, quotes)
    except Fail:
        return None
    return grow_cart(cart, edit, change.write_time(cart.user_id).expires_at) if edit else None


def _finish(change: CartChange, written: WrittenCart | None) -> None:
    if not change.outcome.done():  # its request may have been cancelled
        change.outcome.set_result(written)


def _fail(change: CartChange, error: BaseException) -> None:
    if not change.outcome.done():
        change.outcome.set_exception(error)
