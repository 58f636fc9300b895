"""A kind of corruption, planted into an order of its own, and what the audit is to say of it.

`{order_id}` and so on are the ids of that order's things; `{other}` and `{more}` are ids that nobody has.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.infra.ops.verify.shop_scene import Scene, Thing

Deed = Callable[[Scene, Thing], Awaitable[None]]


@dataclass(frozen=True)
class Plant:
    """A corruption: what it is done to, how, what is found (check: names of its ids), and whether it can be mended."""

    name: str
    to: str
    found: Mapping[str, tuple[str, ...]]
    sql: tuple[tuple[str, str], ...] = ()
    deed: Deed | None = None
    mended: bool = False

    def things(self, thing: Thing) -> list[tuple[str, ...]]:
        """Check and ids of what is to be found; `.` is whatever it is."""
        return [(check, *(str(thing.ids.get(name, name)) for name in names)) for check, names in self.found.items()]

    async def plant(self, scene: Scene, thing: Thing) -> None:
        for service, statement in self.sql:
            await scene.sql(service, statement, thing.ids)
        if self.deed is not None:
            await self.deed(scene, thing)
