"""A kind of corruption, planted into an order of its own, and what the audit is to say of it.

`{order_id}` and so on are the ids of that order's things; `{other}` and `{more}` are ids that nobody has.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.infra.ops.verify.shop_scene import SceneOrder, ShopScene

CorruptionAction = Callable[[ShopScene, SceneOrder], Awaitable[None]]


@dataclass(frozen=True)
class Corruption:
    """A corruption: what it is done to, how, what is found (check: names of its ids), and whether it can be mended."""

    name: str
    order_state: str
    expected: Mapping[str, tuple[str, ...]]
    sql: tuple[tuple[str, str], ...] = ()
    action: CorruptionAction | None = None
    is_repairable: bool = False

    def expected_violations(self, scene_order: SceneOrder) -> list[tuple[str, ...]]:
        """Check and ids of what is to be found; `.` is whatever it is."""
        return [
            (check, *(str(scene_order.ids.get(name, name)) for name in names)) for check, names in self.expected.items()
        ]

    async def apply(self, scene: ShopScene, scene_order: SceneOrder) -> None:
        for service, statement in self.sql:
            await scene.execute(service, statement, scene_order.ids)
        if self.action is not None:
            await self.action(scene, scene_order)
