"""One kind of corruption, planted into an order of its own, and the violations that `souk verify` must report.

`{order_id}` and so on stand for the ids of that order's items; `{other}` and `{more}` are ids that exist nowhere.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.infra.ops.verify.shop_scene import SceneOrder, ShopScene

CorruptionAction = Callable[[ShopScene, SceneOrder], Awaitable[None]]


@dataclass(frozen=True)
class Corruption:
    """A corruption: the state of its order, how it is made, the expected violations, and if it is repairable."""

    name: str
    order_state: str
    expected: Mapping[str, tuple[str, ...]]
    sql: tuple[tuple[str, str], ...] = ()
    action: CorruptionAction | None = None
    is_repairable: bool = False

    def expected_violations(self, scene_order: SceneOrder) -> list[tuple[str, ...]]:
        """The expected violations as check and ids; `.` matches any id."""
        return [
            (check, *(str(scene_order.ids.get(name, name)) for name in names)) for check, names in self.expected.items()
        ]

    async def apply(self, scene: ShopScene, scene_order: SceneOrder) -> None:
        """Corrupts the stores."""
        for service, statement in self.sql:
            await scene.execute(service, statement, scene_order.ids)
        if self.action is not None:
            await self.action(scene, scene_order)
