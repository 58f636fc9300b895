"""The statements of product imports.

One process at a time claims an import, and shows with every batch of products that it is alive.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from contracts.catalog import (
    ProductImport,
    ProductImportChange,
    ProductImportError,
    ProductImportStatus,
    ProductImportWarning,
)
from contracts.size_limits import MAX_PAGE_BYTES
from infra.database.postgres import Connection
from infra.foundation.pagination import take_fitting

MAX_FAULTS = 1000
"""Errors that are kept of an import, and as many warnings."""
MAX_CHANGES = 100
"""Products of a dry run whose changes are kept."""
MAX_NOTICES_BYTES = MAX_PAGE_BYTES // 3
"""The errors of a reply, and as much for its warnings and for its changes."""
MAX_ATTEMPTS = 5

_INSERT = """
WITH one AS (INSERT INTO import_job (id, status, who, dry_run) VALUES ($1, 'queued', $2, $4) RETURNING id)
INSERT INTO import_file (job_id, content) VALUES ($1, $3)
"""
_GET = """
SELECT j.id, j.status, j.dry_run, j.rows, j.products, j.variants, j.created, j.updated, j.unchanged, j.created_at,
       j.changes,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('line', f.line, 'handle', f.handle, 'field', f.field,
                                  'value', f.value, 'detail', f.detail) ORDER BY f.line, f.id), '[]')
        FROM import_fault f WHERE f.job_id = j.id AND f.is_warning) AS warnings,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('line', f.line, 'handle', f.handle, 'field', f.field,
                                  'value', f.value, 'detail', f.detail) ORDER BY f.line, f.id), '[]')
        FROM import_fault f WHERE f.job_id = j.id AND NOT f.is_warning) AS errors
FROM import_job j WHERE j.id = $1
"""
_CLAIM = """
UPDATE import_job SET status = 'running', attempts = attempts + 1, alive_at = now()
WHERE id = (
    SELECT id FROM import_job
    WHERE status = 'queued' OR (status = 'running' AND alive_at < now() - make_interval(secs => $1))
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, who, dry_run, rows, attempts, jsonb_array_length(changes) AS changes
"""
_CONTENT = "SELECT content FROM import_file WHERE job_id = $1"
_ADVANCE = """
UPDATE import_job SET rows = $3, products = products + $4, variants = variants + $5, created = created + $6,
    updated = updated + $7, unchanged = unchanged + $8, faults = faults + $9, warnings = warnings + $10,
    changes = CASE WHEN jsonb_array_length($11) > 0 THEN changes || $11 ELSE changes END, alive_at = now()
WHERE id = $1 AND attempts = $2 AND status = 'running' RETURNING faults, warnings
"""
_ADD_NOTICES = """
INSERT INTO import_fault (job_id, is_warning, line, handle, field, value, detail)
SELECT $1, $2, f.line, f.handle, f.field, f.value, f.detail
FROM unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::text[]) AS f (line, handle, field, value, detail)
"""
_RELEASE = "UPDATE import_job SET status = 'queued' WHERE id = $1 AND attempts = $2 AND status = 'running'"
_FINISH = """
WITH one AS (
    UPDATE import_job SET status = $3, alive_at = now()
    WHERE id = $1 AND attempts = $2 AND status = 'running' RETURNING id
)
DELETE FROM import_file WHERE job_id IN (SELECT id FROM one)
"""


class ImportClaimLost(Exception):  # noqa: N818 - not an error: the other process continues the import
    """Another process has claimed the import."""


@dataclass(frozen=True, slots=True)
class ImportClaim:
    """An import that this process runs.

    `rows` of its file are done; `attempts` tells this claim from earlier ones.
    """

    id: UUID
    who: UUID | None
    dry_run: bool
    rows: int
    attempts: int
    changes: int


@dataclass(slots=True)
class ImportProgress:
    """What some groups of rows add to an import. `rows` counts those of the file up to the last of them."""

    rows: int
    variants: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many products were `created`, `updated` or `unchanged`."""
    errors: list[ProductImportError] = field(default_factory=list)
    warnings: list[ProductImportWarning] = field(default_factory=list)
    changes: list[ProductImportChange] = field(default_factory=list)


async def insert(connection: Connection, job_id: UUID, who: UUID, content: bytes, *, dry_run: bool) -> None:
    """Queues an import with its file."""
    await connection.execute(_INSERT, job_id, who, content, dry_run)


async def get(connection: Connection, job_id: UUID) -> ProductImport | None:
    """The progress, the warnings and the errors of an import."""
    row: Any = await connection.fetchrow(_GET, job_id)
    if row is None:
        return None
    warnings = [ProductImportWarning(**notice) for notice in row["warnings"]]
    errors = [ProductImportError(**notice) for notice in row["errors"]]
    changes = [ProductImportChange.model_validate(change) for change in row["changes"]]
    return ProductImport(
        **{
            **row,
            "status": ProductImportStatus(row["status"]),
            "changes": take_fitting(changes, MAX_CHANGES, MAX_NOTICES_BYTES),
            "warnings": take_fitting(warnings, MAX_FAULTS, MAX_NOTICES_BYTES),
            "errors": take_fitting(errors, MAX_FAULTS, MAX_NOTICES_BYTES),
        }
    )


async def claim(connection: Connection, timeout_seconds: float) -> ImportClaim | None:
    """Claims the oldest import that is queued, or that has made no progress for `timeout_seconds`."""
    row = await connection.fetchrow(_CLAIM, timeout_seconds)
    return ImportClaim(**row) if row else None


async def read_content(connection: Connection, job_id: UUID) -> bytes:
    """The file of an import that is not finished."""
    content: bytes = await connection.fetchval(_CONTENT, job_id)
    return content


async def advance(connection: Connection, job: ImportClaim, progress: ImportProgress) -> None:
    """Writes progress with the products. Raises `ImportClaimLost` when another process has the import."""
    totals = await connection.fetchrow(
        _ADVANCE,
        job.id,
        job.attempts,
        progress.rows,
        progress.outcomes.total(),
        progress.variants,
        *(progress.outcomes[outcome] for outcome in ("created", "updated", "unchanged")),
        len(progress.errors),
        len(progress.warnings),
        [change.model_dump() for change in progress.changes],
    )
    if totals is None:
        raise ImportClaimLost
    await _add_notices(connection, job, progress.errors, totals["faults"], are_warnings=False)
    await _add_notices(connection, job, progress.warnings, totals["warnings"], are_warnings=True)


async def release(connection: Connection, job: ImportClaim) -> None:
    """Gives up the claim, so that the import continues at once instead of when the claim has timed out."""
    await connection.execute(_RELEASE, job.id, job.attempts)


async def finish(connection: Connection, job: ImportClaim, status: ProductImportStatus) -> None:
    """Ends the import and deletes its file."""
    await connection.execute(_FINISH, job.id, job.attempts, status.value)


async def _add_notices(
    connection: Connection, job: ImportClaim, notices: Sequence[ProductImportWarning], total: int, *, are_warnings: bool
) -> None:
    """Adds warnings or errors as long as there are no more than are kept; `total` counts these too."""
    free = max(MAX_FAULTS - (total - len(notices)), 0)
    if stored := notices[:free]:
        fields = ("line", "handle", "field", "value", "detail")
        columns = ([getattr(notice, name) for notice in stored] for name in fields)
        await connection.execute(_ADD_NOTICES, job.id, are_warnings, *columns)
