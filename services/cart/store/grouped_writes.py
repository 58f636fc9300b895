"""Writes the changes of several carts in one command; each of them succeeds or fails by itself.

One change alone costs 1,000 us of CPU in the driver and in MongoDB, and 210 us in a group of 8.

MongoDB's reply counts the updates that matched nothing, but does not name them. So each update is an upsert that cannot
insert: the reply names those that fail.

An update names the version that it replaces, so it is written at most once, however often it is sent. When a reply is
lost, the stored `write_id` tells whether the update was written.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bson import ObjectId
from pymongo.errors import ExecutionTimeout

from contracts.failure import Unavailable
from infra.database.mongo import Document, MongoDatabase, run_updates
from services.cart.domain.carts import CartRecord
from services.cart.store.cart_documents import line_document
from services.cart.store.carts import GROUP_TIMEOUT_MS, WriteConflict


@dataclass(frozen=True, slots=True)
class CartUpdate:
    """Replaces `before` by `after`, which has the same lines in the same places, other quantities, or more lines."""

    before: CartRecord
    after: CartRecord
    now: datetime
    write_id: ObjectId = field(default_factory=ObjectId)


class GroupedWrites:
    """Updates of the `carts` collection, many in one command."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database

    async def write(self, updates: Sequence[CartUpdate]) -> Sequence[BaseException | None]:
        """Writes the updates, and returns for each `WriteConflict` if it was refused, else None.

        Any exception leaves it open which of them are written: `repeat` finds out.
        """
        refused = await self._send(updates)
        return [WriteConflict() if position in refused else None for position in range(len(updates))]

    async def repeat(self, updates: Sequence[CartUpdate]) -> Sequence[BaseException | None]:
        """Writes each update that is not written yet by itself, and returns its error: an error of one is its own."""
        return await asyncio.gather(*map(self._repeat_one, updates), return_exceptions=True)

    async def _repeat_one(self, update: CartUpdate) -> Exception | None:
        try:
            is_written = not await self._send([update])
        except ExecutionTimeout:
            return Unavailable(retry_after=1)
        if is_written:
            return None
        # The reply to `_send` has waited until what was written before is on disk.
        stored = await self._database.carts.find_one({"_id": update.before.id}, {"version": 1, "write_id": 1})
        if stored is not None and stored.get("write_id") == update.write_id:
            return None
        is_refused = stored is None or stored["version"] == update.before.version
        return WriteConflict() if is_refused else Unavailable(retry_after=1)

    async def _send(self, updates: Sequence[CartUpdate]) -> frozenset[int]:
        """Returns the positions of the updates that were refused."""
        statements = [_to_statement(update) for update in updates]
        return (await run_updates(self._database, "carts", statements, timeout_ms=GROUP_TIMEOUT_MS)).failed


def _to_statement(update: CartUpdate) -> Document:
    before, after = update.before, update.after
    required: Document = {
        "_id": before.id,
        "user_id": before.user_id,
        "merged_into": None,
        "expires_at": {"$gt": update.now},
        "version": before.version,
        f"lines.{len(before.lines)}": {"$exists": False},
    }
    values: Document = {"version": after.version, "expires_at": after.expires_at, "write_id": update.write_id}
    for position, line in enumerate(after.lines):
        if position >= len(before.lines):
            values[f"lines.{position}"] = line_document(line)
        elif line.quantity != before.lines[position].quantity:
            required[f"lines.{position}.sku"] = line.sku
            values[f"lines.{position}.quantity"] = line.quantity
    # An insert would store another id than was asked for. MongoDB refuses that, and names the update.
    return {"q": required, "u": {"$set": values, "$setOnInsert": {"_id": None}}, "upsert": True}
