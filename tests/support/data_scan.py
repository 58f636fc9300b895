"""Searches every place where the shop keeps data, to show that erased data is gone.

A word is searched as it is, without regard to case, and in the encodings that other places use: hexadecimal, as a
database shows bytes, Base64 at any offset, and the digests that anyone can compute.
"""

import base64
import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import nats.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from infra.ops.devstack.stack import Stack

TABLES = """
SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
"""
FORM_IN_ROW = "SELECT FROM unnest($1::text[]) AS form WHERE position(form IN lower(t::text)) > 0"
SERVERS = {"postgres", "mongo", "nats"}
"""Data folders of servers. The servers are queried instead, because their files keep deleted data for a while."""
BATCH_SIZE, FETCH_TIMEOUT_SECONDS = 500, 2.0


class ScanTerms:
    """Words to search for, in all their encodings and in lower case."""

    def __init__(self, words: Iterable[str]) -> None:
        spellings = {form for word in words for form in (word, word.lower())}
        self.forms = frozenset(form.lower() for word in spellings for form in _forms(word.encode())) | {
            word.lower() for word in spellings
        }

    def in_text(self, text: str) -> list[str]:
        lowered = text.lower()
        return [form for form in self.forms if form in lowered]

    def in_bytes(self, content: bytes) -> list[str]:
        lowered = content.lower()
        return [form for form in self.forms if form.encode() in lowered]


def _forms(word: bytes) -> Iterator[str]:
    yield word.hex()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + word).decode().rstrip("=")
        yield encoded[(0, 2, 3)[offset] : -1]  # the part that neighbouring bytes do not change
    for digest in (hashlib.md5, hashlib.sha1, hashlib.sha256):
        yield digest(word).hexdigest()
        yield base64.b64encode(digest(word).digest()).decode().rstrip("=")


async def search_database(connection: asyncpg.Connection, terms: ScanTerms) -> list[str]:
    """Searches every row of every table, all columns as text."""
    found = []
    for row in await connection.fetch(TABLES):
        statement = f"SELECT t::text FROM {row[0]} AS t WHERE EXISTS ({FORM_IN_ROW})"  # noqa: S608 - quoted
        found += [f"{row[0]}: {hit[0]}" for hit in await connection.fetch(statement, list(terms.forms))]
    return found


async def search_documents(database: Any, terms: ScanTerms) -> list[str]:
    """Searches every document of every collection."""
    found = []
    for name in await database.list_collection_names():
        documents = [repr(document) async for document in database[name].find()]
        found += [f"{name}: {one}" for one in documents if terms.in_text(one)]
    return found


async def search_streams(operator: Client, terms: ScanTerms) -> list[str]:
    """Searches every message of every stream with its subject and headers: events, dead letters, buckets."""
    js = operator.jetstream()
    found = []
    for info in await js.streams_info():
        async for subject, header, body in _messages(operator, str(info.config.name), info.state.messages):
            if terms.in_text(f"{subject} {header}") or terms.in_bytes(body):
                found.append(f"{info.config.name}: {subject} {header} {body!r}")
    return found


async def _messages(operator: Client, stream: str, count: int) -> AsyncIterator[tuple[str, Any, bytes]]:
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, mem_storage=True, inactive_threshold=30.0
    )
    consumer = await operator.jetstream().pull_subscribe(
        "", stream=stream, config=config, inbox_prefix=b"_INBOX_operator.search."
    )
    try:
        while count > 0:
            batch = await consumer.fetch(min(BATCH_SIZE, count), timeout=FETCH_TIMEOUT_SECONDS)
            for message in batch:
                yield message.subject, message.headers or {}, message.data
            count -= len(batch)
    except nats.errors.TimeoutError:
        return  # messages that were there at the start are gone
    finally:
        await consumer.unsubscribe()


def search_files(stack: Stack, terms: ScanTerms) -> list[str]:
    """Searches the data folder: logs of all processes, logs and cache of Nginx, mails and all other files."""
    return [
        f"{path}: {terms.in_bytes(path.read_bytes())}"
        for path in _files(stack.data_dir.path)
        if terms.in_bytes(path.read_bytes())
    ]


def _files(data: Path) -> Iterator[Path]:
    for top in data.iterdir():
        if top.name not in SERVERS:
            yield from (path for path in [top, *top.rglob("*")] if path.is_file())
