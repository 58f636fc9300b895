"""Checks the audit logs from their first entry: each hash matches its entry, and each entry follows the one before.

A chain that is consistent in itself may still have been rebuilt, so every published end has to be in it. The published
ends are read before the stores, so that the chain that is read is at least as new as they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from nats.aio.msg import Msg

from contracts import headers
from infra.database import audit_log
from infra.database.checks import Check, FactTable, Row, Violation
from infra.ops.verify.fact_db import MAX_VIOLATIONS_PER_CHECK, FactDatabase, build_violation

INVARIANT = 8
BATCH_SIZE = 1000

ENTRY_FACTS = FactTable("audit_entry", ("service", "seq", "hash", "at"), indexes=("service, seq",))
ANCHOR_FACTS = FactTable("audit_anchor", ("service", "seq", "hash"), indexes=("service, seq",))
"""The published ends of the audit logs."""

CHANGED = Check(INVARIANT, "trail_changed", "An entry of an audit log does not match its hash.", "")
MISSING = Check(INVARIANT, "trail_gap", "Entries of an audit log are missing.", "")
FORGED = Check(INVARIANT, "trail_broken", "An entry of an audit log does not follow the one before it.", "")

AUDIT_LOG_CHECKS = (
    Check(
        INVARIANT,
        "trail_cut",
        "An audit log ends before a published end.",
        """
        SELECT h.service, count(*) || ' published ends are missing, up to ' || max(h.seq) || '; it ends at '
            || coalesce((SELECT max(seq) FROM audit_entry AS t WHERE t.service = h.service), 0) AS detail
        FROM audit_anchor AS h
        WHERE h.seq > coalesce((SELECT max(seq) FROM audit_entry AS t WHERE t.service = h.service), 0)
        GROUP BY h.service
        """,
    ),
    Check(
        INVARIANT,
        "trail_rewritten",
        "An audit log does not contain its published ends.",
        """
        SELECT h.service, min(h.seq) AS seq, count(*) || ' published ends have another hash' AS detail
        FROM audit_anchor AS h JOIN audit_entry AS t ON t.service = h.service AND t.seq = h.seq
        WHERE t.hash <> h.hash GROUP BY h.service
        """,
    ),
    Check(
        2,
        "trail_not_posted",
        "The end of an audit log has not been published for a minute.",
        """
        SELECT t.service, min(t.seq) AS seq, count(*) || ' entries, to ' || max(t.seq) AS detail FROM audit_entry AS t
        WHERE t.seq > coalesce((SELECT max(seq) FROM audit_anchor AS h WHERE h.service = t.service), 0) AND t.at < :late
        GROUP BY t.service
        """,
        confirm_factor=2.0,
    ),
)

_ALL_ENTRIES = (
    f"SELECT {', '.join(audit_log.COLUMNS)}, extract(epoch FROM at)::bigint AS second FROM trail ORDER BY seq"  # noqa: S608 - constants
)


@dataclass
class HashChain:
    """The end of an audit log's chain as far as it has been checked."""

    service: str
    seq: int = 0
    hash: bytes = audit_log.GENESIS_HASH

    def check_next(self, entry: Mapping[str, Any]) -> Iterator[Violation]:
        """Yields what is wrong with the next entry, then continues from that entry, so one fault is reported once."""
        if entry["seq"] != self.seq + 1:
            yield self._violation(MISSING, self.seq + 1, f"{entry['seq'] - self.seq - 1} of them")
        elif entry["previous"] != self.hash:
            yield self._violation(FORGED, entry["seq"], entry["act"])
        if audit_log.entry_hash(entry) != entry["hash"]:
            yield self._violation(CHANGED, entry["seq"], entry["act"])
        self.seq, self.hash = entry["seq"], entry["hash"]

    def _violation(self, check: Check, seq: int, detail: str) -> Violation:
        return build_violation(check, {"service": self.service, "seq": seq, "detail": detail})


async def check_chain(connection: Any, service: str, facts_db: FactDatabase) -> list[Violation]:
    """Checks a service's chain in batches, and stores each entry's hash to compare the published ends with."""
    facts_db.create_table(ENTRY_FACTS)
    chain, violations = HashChain(service), list[Violation]()
    cursor = await connection.cursor(_ALL_ENTRIES)
    while rows := await cursor.fetch(BATCH_SIZE):
        for row in rows:
            violations += list(chain.check_next(_decode(row)))[: MAX_VIOLATIONS_PER_CHECK + 1 - len(violations)]
        facts_db.insert(ENTRY_FACTS, [(service, row["seq"], row["hash"], row["second"]) for row in rows])
    return violations


def _decode(row: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as it was when its hash was computed."""
    return {**row, "before": orjson.loads(row["before"]), "after": orjson.loads(row["after"])}


def anchor_row(message: Msg, _stream: str) -> Row:
    """The published end of an audit log, as a message of the anchor stream reports it."""
    carried = message.header or {}
    service = message.subject.rpartition(".")[2]
    try:
        return service, int(carried[headers.AUDIT_SEQ]), bytes.fromhex(carried[headers.AUDIT_HASH])
    except (KeyError, ValueError):
        return service, audit_log.MAX_SEQ, b""  # an end that no audit log has
