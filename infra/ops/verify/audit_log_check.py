"""The audit trails, followed from their first entry: each is what its hash says, and follows the one before it.

A chain that is sound in itself can still be another one: so each of its ends that was ever posted has to be in it. The
posted ends are read before the stores, so that what they tell of is older than what is read of the chain.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from nats.aio.msg import Msg

from contracts import headers
from infra.database import audit_log as trail
from infra.database.checks import Check, FactTable, Row, Violation
from infra.ops.verify.fact_db import MAX_VIOLATIONS_PER_CHECK, FactDatabase, build_violation

INVARIANT = 8
BATCH_SIZE = 1000

ENTRY_FACTS = FactTable("trail", ("service", "seq", "hash", "at"), indexes=("service, seq",))
ANCHOR_FACTS = FactTable("head", ("service", "seq", "hash"), indexes=("service, seq",))
"""What was posted of the trails' ends."""

CHANGED = Check(INVARIANT, "trail_changed", "An entry of an audit trail is not what its hash was made of.", "")
MISSING = Check(INVARIANT, "trail_gap", "Entries of an audit trail are missing.", "")
FORGED = Check(INVARIANT, "trail_broken", "An entry of an audit trail does not follow the one before it.", "")

AUDIT_LOG_CHECKS = (
    Check(
        INVARIANT,
        "trail_cut",
        "An audit trail ends before what was posted of it.",
        """
        SELECT h.service, count(*) || ' posted ends are missing, up to ' || max(h.seq) || '; it ends at '
            || coalesce((SELECT max(seq) FROM trail AS t WHERE t.service = h.service), 0) AS detail
        FROM head AS h
        WHERE h.seq > coalesce((SELECT max(seq) FROM trail AS t WHERE t.service = h.service), 0)
        GROUP BY h.service
        """,
    ),
    Check(
        INVARIANT,
        "trail_rewritten",
        "An audit trail is not the one of which the end was posted.",
        """
        SELECT h.service, min(h.seq) AS seq, count(*) || ' posted ends have another hash' AS detail
        FROM head AS h JOIN trail AS t ON t.service = h.service AND t.seq = h.seq
        WHERE t.hash <> h.hash GROUP BY h.service
        """,
    ),
    Check(
        2,
        "trail_not_posted",
        "Where an audit trail ends has not been posted for a minute.",
        """
        SELECT t.service, min(t.seq) AS seq, count(*) || ' entries, to ' || max(t.seq) AS detail FROM trail AS t
        WHERE t.seq > coalesce((SELECT max(seq) FROM head AS h WHERE h.service = t.service), 0) AND t.at < :late
        GROUP BY t.service
        """,
        confirm_factor=2.0,
    ),
)

_ALL = f"SELECT {', '.join(trail.COLUMNS)}, extract(epoch FROM at)::bigint AS second FROM trail ORDER BY seq"  # noqa: S608 - constants


@dataclass
class HashChain:
    """A trail as far as it has been followed."""

    service: str
    seq: int = 0
    hash: bytes = trail.GENESIS_HASH

    def check_next(self, entry: Mapping[str, Any]) -> Iterator[Violation]:
        """What is wrong with the next entry. It is gone on from as it is: one fault is found once."""
        if entry["seq"] != self.seq + 1:
            yield self._wrong(MISSING, self.seq + 1, f"{entry['seq'] - self.seq - 1} of them")
        elif entry["previous"] != self.hash:
            yield self._wrong(FORGED, entry["seq"], entry["act"])
        if trail.entry_hash(entry) != entry["hash"]:
            yield self._wrong(CHANGED, entry["seq"], entry["act"])
        self.seq, self.hash = entry["seq"], entry["hash"]

    def _wrong(self, check: Check, seq: int, detail: str) -> Violation:
        return build_violation(check, {"service": self.service, "seq": seq, "detail": detail})


async def check_chain(connection: Any, service: str, facts_db: FactDatabase) -> list[Violation]:
    """Follows a service's trail, a batch at a time, and leaves each entry's hash for the ends to be held against."""
    facts_db.create_table(ENTRY_FACTS)
    chain, wrong = HashChain(service), list[Violation]()
    cursor = await connection.cursor(_ALL)
    while rows := await cursor.fetch(BATCH_SIZE):
        for row in rows:
            wrong += list(chain.check_next(_read(row)))[: MAX_VIOLATIONS_PER_CHECK + 1 - len(wrong)]
        facts_db.insert(ENTRY_FACTS, [(service, row["seq"], row["hash"], row["second"]) for row in rows])
    return wrong


def _read(row: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as it was when its hash was made."""
    return {**row, "before": orjson.loads(row["before"]), "after": orjson.loads(row["after"])}


def anchor_row(message: Msg, _stream: str) -> Row:
    """What a message of the stream tells of the end of a trail."""
    said = message.header or {}
    service = message.subject.rpartition(".")[2]
    try:
        return service, int(said[headers.AUDIT_SEQ]), bytes.fromhex(said[headers.AUDIT_HASH])
    except (KeyError, ValueError):
        return service, trail.MAX_SEQ, b""  # an end that no trail has
