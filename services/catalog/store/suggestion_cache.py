"""Suggested names for what many shoppers type, cached while they are exact."""

from infra.database.postgres import Connection
from services.catalog.store.product_change_watch import ProductChangeWatch
from services.catalog.store.product_queries import suggest_names

MAX_TEXTS = 10_000
"""The oldest is dropped first."""


class SuggestionCache:
    """Names by what was typed. They are cached when the same is typed again, and dropped when products change."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, int], list[str] | None] = {}
        self._watch = ProductChangeWatch()

    async def suggest(self, connection: Connection, q: str, limit: int) -> list[str]:
        """At most `limit` names with the words of `q`, as `suggest_names` finds them at this moment."""
        key = (q, limit)
        if key not in self._names:
            self._names[key] = None
            if len(self._names) > MAX_TEXTS:
                del self._names[next(iter(self._names))]
            return await suggest_names(connection, q, limit)
        if (await self._watch.find_changes(connection)).products:
            self._names = dict.fromkeys(self._names)
        current = self._names  # no longer the cache if products change meanwhile
        names = current.get(key)
        if names is None:
            names = current[key] = await suggest_names(connection, q, limit)
        return names
