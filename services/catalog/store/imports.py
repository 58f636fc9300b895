"""The statements of product imports.

One process at a time claims an import, and shows with every imported product that it is alive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contracts.catalog import ProductImport, ProductImportError, ProductImportStatus
from infra.database.postgres import Connection
from infra.foundation.pagination import take_fitting

MAX_FAULTS = 1000
MAX_FAULT_LENGTH = 1000
"""Characters of a fault's detail, which may quote a cell of any length."""
MAX_ATTEMPTS = 5

_INSERT = """
WITH one AS (INSERT INTO import_job (id, status, who) VALUES ($1, 'queued', $2) RETURNING id)
INSERT INTO import_file (job_id, content) VALUES ($1, $3)
"""
_GET = """
SELECT j.id, j.status, j.rows, j.products, j.variants, j.created, j.updated, j.unchanged, j.created_at,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('line', f.line, 'detail', f.detail) ORDER BY f.line, f.id), '[]')
        FROM import_fault f WHERE f.job_id = j.id) AS errors
FROM import_job j WHERE j.id = $1
"""
_CLAIM = """
UPDATE import_job SET status = 'running', attempts = attempts + 1, alive_at = now()
WHERE id = (
    SELECT id FROM import_job
    WHERE status = 'queued' OR (status = 'running' AND alive_at < now() - make_interval(secs => $1))
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, who, rows, attempts
"""
_CONTENT = "SELECT content FROM import_file WHERE job_id = $1"
_ADVANCE = """
UPDATE import_job SET rows = $3, products = products + $4, variants = variants + $5, created = created + $6,
    updated = updated + $7, unchanged = unchanged + $8, faults = faults + $9, alive_at = now()
WHERE id = $1 AND attempts = $2 AND status = 'running' RETURNING faults
"""
_FAULTS = """
INSERT INTO import_fault (job_id, line, detail) SELECT $1, f.line, f.detail
FROM unnest($2::int[], $3::text[]) AS f (line, detail)
"""
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
    rows: int
    attempts: int


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """What one group of rows adds to an import, whether it made a product or not."""

    rows: int
    variants: int = 0
    outcome: str | None = None
    """`created`, `updated` or `unchanged`; None when no product was imported."""
    faults: Sequence[ProductImportError] = ()


async def insert(connection: Connection, job_id: UUID, who: UUID, content: bytes) -> None:
    """Queues an import with its file."""
    await connection.execute(_INSERT, job_id, who, content)


async def get(connection: Connection, job_id: UUID) -> ProductImport | None:
    """The progress and the errors of an import."""
    row: Any = await connection.fetchrow(_GET, job_id)
    if row is None:
        return None
    errors = take_fitting([ProductImportError(**fault) for fault in row["errors"]], MAX_FAULTS)
    return ProductImport(**{**row, "status": ProductImportStatus(row["status"]), "errors": errors})


async def claim(connection: Connection, timeout_seconds: float) -> ImportClaim | None:
    """Claims the oldest import that is queued, or that has made no progress for `timeout_seconds`."""
    row = await connection.fetchrow(_CLAIM, timeout_seconds)
    return ImportClaim(**row) if row else None


async def read_content(connection: Connection, job_id: UUID) -> bytes:
    """The file of an import that is not finished."""
    content: bytes = await connection.fetchval(_CONTENT, job_id)
    return content


async def advance(connection: Connection, job: ImportClaim, progress: ImportProgress) -> None:
    """Writes progress in the product's transaction; raises `ImportClaimLost` when another process has the import."""
    faults = await connection.fetchval(
        _ADVANCE,
        job.id,
        job.attempts,
        progress.rows,
        int(progress.outcome is not None),
        progress.variants,
        *(int(progress.outcome == outcome) for outcome in ("created", "updated", "unchanged")),
        len(progress.faults),
    )
    if faults is None:
        raise ImportClaimLost
    free = MAX_FAULTS - (faults - len(progress.faults))
    stored = list(progress.faults)[: max(free, 0)]
    if stored:
        lines, details = [fault.line for fault in stored], [fault.detail[:MAX_FAULT_LENGTH] for fault in stored]
        await connection.execute(_FAULTS, job.id, lines, details)


async def finish(connection: Connection, job: ImportClaim, status: ProductImportStatus) -> None:
    """Ends the import and deletes its file."""
    await connection.execute(_FINISH, job.id, job.attempts, status.value)
