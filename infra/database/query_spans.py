"""Spans for the statements that a service sends to PostgreSQL, by OpenTelemetry's conventions for databases.

They hold the text of a statement, never its values.
"""

from asyncpg.connection import LoggedQuery
from opentelemetry.trace import SpanKind

from infra.foundation import trace

MAX_STATEMENT_LENGTH = 2000
"""Characters of a statement that a span holds."""


def record_query(query: LoggedQuery) -> None:
    """Records a statement of PostgreSQL; asyncpg calls it after each one, in the context of its caller."""
    if not trace.is_recorded():
        return
    statement = " ".join(query.query.split())
    operation = statement.partition(" ")[0].rstrip(";").upper()
    attributes = {
        "db.system.name": "postgresql",
        "db.namespace": str(query.conn_params.database),
        "db.operation.name": operation,
        "db.query.text": statement[:MAX_STATEMENT_LENGTH],
    }
    error = None if query.exception is None else type(query.exception).__name__
    trace.record_span(operation, SpanKind.CLIENT, attributes, seconds=query.elapsed, error=error)
