"""The words that searches are understood by: the shop's synonyms, and the words of products for mistyped ones."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from contracts.catalog import SynonymList
from infra.database.postgres import Connection
from services.catalog.domain.folded_text import query_text
from services.catalog.domain.search import DEFAULT_LANGUAGES, SearchVocabulary, exact_codes, plain_words
from services.catalog.domain.synonyms import Synonyms
from services.catalog.domain.typo_correction import choose_corrections, may_be_mistyped
from services.catalog.store.product_documents import ON_SALE

MIN_MATCHES = 3
"""With fewer matches, a search finds what its mistyped words may stand for, too."""
MAX_CANDIDATES = 200
WELL_SPELLED_SECONDS, UNKNOWN_SECONDS = 300.0, 30.0
"""How long words need not be looked up again: those that have found products, and those that no product's word is like.
"""
CORRECTED_SECONDS = 30.0
"""How long a text need not be looked up again that was corrected."""
MAX_REMEMBERED = 10_000
"""Words, and texts; the oldest is dropped first."""

_GET = "SELECT groups, version, updated_at FROM synonyms WHERE only_row"
_LOCK = f"{_GET} FOR UPDATE"
_REPLACE = """
UPDATE synonyms SET groups = $1, version = version + 1, updated_at = now() WHERE only_row
RETURNING groups, version, updated_at
"""
_FIND_CANDIDATES = f"""
WITH mistyped AS (
    SELECT w.word FROM unnest($1::text[]) AS w (word) CROSS JOIN LATERAL (SELECT {{0}} AS query OFFSET 0) q
    WHERE numnode(q.query) > 0
        AND (
            SELECT count(*) FROM (
                SELECT FROM product p WHERE {ON_SALE} AND p.terms @@ q.query LIMIT {MIN_MATCHES}
            ) found
        ) < {MIN_MATCHES}
        AND NOT EXISTS (SELECT FROM product p WHERE p.is_active AND p.terms @@ $3::tsquery)
)
SELECT w.word, ARRAY(
    SELECT d.word FROM search_deletion d WHERE d.deletion = ANY (ARRAY(SELECT word_deletions(w.word)))
        AND length(d.word) >= length(w.word) - 1 AND (length(d.word) <= length(w.word) + 1 OR w.word = $2)
    GROUP BY d.word ORDER BY abs(length(d.word) - length(w.word)), d.word LIMIT {MAX_CANDIDATES}
) AS candidates
FROM mistyped w
"""  # noqa: S608 - constants
"""Of the words that find few products, the words of products that look like them; none if the text is a SKU.

The last word may be unfinished.
"""


class VocabularyCache:
    """The synonyms as this process knows them: each search tells which version is current. And words that have no
    correction, because they have found products of late, or no word of a product is like them.
    """

    def __init__(self, languages: tuple[str, ...] = DEFAULT_LANGUAGES) -> None:
        self.current = SearchVocabulary(languages)
        self._uncorrected: dict[tuple[str, bool], float] = {}
        """Until when a word, which may be unfinished, has no correction, by the monotonic clock; the oldest first."""
        self._corrected: dict[str, tuple[float, Mapping[str, Sequence[str]]]] = {}
        """The corrections of texts, and until when they hold."""

    async def refresh(self, connection: Connection, version: int) -> bool:
        """Reads the synonyms unless they are of this version. Returns whether it did."""
        if version == self.current.synonyms.version:
            return False
        row = await connection.fetchrow(_GET)
        assert row is not None, "the migration has inserted it"
        self.current = replace(self.current, synonyms=Synonyms.of(row["groups"], row["version"]))
        return True

    async def find_corrections(self, connection: Connection, q: str) -> Mapping[str, Sequence[str]]:
        """The words of products that the mistyped words of a search may stand for."""
        now = time.monotonic()
        until, corrections = self._corrected.get(q, (0.0, {}))
        if until > now:
            return corrections
        words = plain_words(query_text(q))
        unfinished = words[-1] if words else ""
        candidates = [
            word
            for word in dict.fromkeys(words)
            if may_be_mistyped(word) and self._uncorrected.get((word, word == unfinished), 0) < now
        ]
        if not candidates:
            return {}
        statement = _FIND_CANDIDATES.format(_word_query(self.current.languages))
        rows = await connection.fetch(statement, candidates, unfinished, exact_codes(q))
        found = {
            row["word"]: choose_corrections(row["word"], row["candidates"], is_unfinished=row["word"] == unfinished)
            for row in rows
        }
        for word in candidates:
            if not found.get(word):
                seconds = UNKNOWN_SECONDS if word in found else WELL_SPELLED_SECONDS
                _remember(self._uncorrected, (word, word == unfinished), now + seconds)
        corrections = {word: corrections for word, corrections in found.items() if corrections}
        if corrections:
            _remember(self._corrected, q, (now + CORRECTED_SECONDS, corrections))
        return corrections


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > MAX_REMEMBERED:
        del memory[next(iter(memory))]


def _word_query(languages: Sequence[str]) -> str:
    """A text query for the word `w.word`, as a prefix if it is the last one, `$2`."""
    text = "w.word || CASE WHEN w.word = $2 THEN ':*' ELSE '' END"
    queries = [f"to_tsquery('shop_{language}', {text})" for language in languages]
    return f"({' || '.join(queries)})"


async def get_synonyms(connection: Connection) -> tuple[SynonymList, int]:
    """The synonyms, with their version."""
    return _to_contract(await connection.fetchrow(_GET))


async def lock_synonyms(connection: Connection) -> tuple[SynonymList, int]:
    """The synonyms, with their version, which no other transaction changes until this one ends."""
    return _to_contract(await connection.fetchrow(_LOCK))


async def replace_synonyms(connection: Connection, groups: Sequence[Sequence[str]]) -> tuple[SynonymList, int]:
    """Replaces all synonyms; returns them with their new version."""
    return _to_contract(await connection.fetchrow(_REPLACE, [list(group) for group in groups]))


def _to_contract(row: Any) -> tuple[SynonymList, int]:
    return SynonymList(groups=row["groups"], updated_at=row["updated_at"]), row["version"]
