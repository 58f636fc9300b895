"""Fills every table of a database with generated rows, to see how statements are planned when the tables are large."""

import re
from typing import Any

_TABLES = """
SELECT oid, relname FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::regnamespace AND relname <> 'migration'
"""
_CHECKS = """
SELECT conname, contype, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE conrelid = $1 AND contype IN ('c', 'f')
"""
_COLUMNS = """
SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute
WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''
"""
_ALLOWED_VALUES = re.compile(r"\((?P<column>\w+) = ANY \((?P<values>ARRAY\[[^]]*\])\)\)")
# Of 20,000 times, 1 in 100 is over, as of things that become due.
_VALUES = {
    "uuid": "gen_random_uuid()",
    "text": "'text ' || n",
    "character varying": "'text ' || n",
    "bytea": "decode(md5(n::text), 'hex')",
    "boolean": "n % 2 = 0",
    "integer": "n",
    "smallint": "n % 30000",
    "bigint": "n",
    "double precision": "n",
    "timestamp with time zone": "now() + (n - 200) * interval '1 minute'",
    "date": "current_date - n % 1000",
    "interval": "n * interval '1 minute'",
    "jsonb": "jsonb_build_object('n', n)",
    "text[]": "ARRAY['text ' || n]",
    "uuid[]": "ARRAY[gen_random_uuid()]",
    "integer[]": "ARRAY[n]",
    "tsvector": "''::tsvector",
    "xid8": "n::text::xid8",
    "inet": "'10.0.0.0'::inet + n",
}
_ID = "(lpad(to_hex(1735689600000 + n * 60000::bigint), 12, '0') || '7000' || substr(md5(n::text), 1, 16))::uuid"
"""Ids begin with the time, so rows lie in their order."""


async def fill_tables(connection: Any, schema: str, rows: int, leave: frozenset[str] = frozenset()) -> None:
    """Inserts so many rows into each table of the schema but those to `leave`, without its checks, and analyzes them.

    A column that a check limits to certain values gets each of them equally often.
    """
    await connection.execute(f"SET search_path = {schema}; SET statement_timeout = 0")
    for table in await connection.fetch(_TABLES, schema):
        if table["relname"] in leave:
            continue
        expressions = {"id": _ID}
        for check in await connection.fetch(_CHECKS, table["oid"]):
            if allowed := _ALLOWED_VALUES.search(check["definition"]):
                values = allowed["values"]
                expressions[allowed["column"]] = f"({values})[1 + n % array_length({values}, 1)]"
            await connection.execute(f'ALTER TABLE {table["relname"]} DROP CONSTRAINT "{check["conname"]}" CASCADE')
        columns = {row["name"]: row["type"] for row in await connection.fetch(_COLUMNS, table["oid"])}
        listed = ", ".join(
            _VALUES[type_] if name == "id" and type_ != "uuid" else expressions.get(name, _VALUES[type_])
            for name, type_ in columns.items()
        )
        await connection.execute(f"ALTER TABLE {table['relname']} DISABLE TRIGGER USER")
        await connection.execute(
            f"INSERT INTO {table['relname']} ({', '.join(columns)}) "  # noqa: S608 - the columns of the table
            f"SELECT {listed} FROM generate_series(1, {rows}) AS n ON CONFLICT DO NOTHING"
        )
        await connection.execute(f"ANALYZE {table['relname']}")
