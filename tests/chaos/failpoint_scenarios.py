"""The crash points of the code, found by reading it, and for each the process that dies of it and what comes by.

A point is written down once, as a literal, so that the code can be searched for what the fault run reports.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import account_scenarios as visits
from tests.chaos import order_scenarios as traffic
from tests.chaos.crash_harness import Traffic

ROOT = Path(__file__).parents[2]
HOUSE = ("services", "infra", "edge")
CALL = "crash_point"


@dataclass(frozen=True, slots=True)
class Point:
    """One call in the code; `name` is None where it is not a literal."""

    name: str | None
    file: Path
    line: int

    @property
    def places(self) -> set[str]:
        """What may stand before the dot: the service or `edge`, the module, or a class in it."""
        tree = ast.parse((ROOT / self.file).read_text())
        classes = {node.name.lower() for node in tree.body if isinstance(node, ast.ClassDef)}
        room = self.file.parts[1] if self.file.parts[0] == "services" else self.file.parts[0]
        return {room, self.file.stem, *classes}


def every(root: Path = ROOT) -> Iterator[Point]:
    """All of them, as the code has them."""
    for part in HOUSE:
        for file in sorted((root / part).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == CALL:
                    yield Point(_literal(node), file.relative_to(root), node.lineno)


def _literal(call: ast.Call) -> str | None:
    match call.args:
        case [ast.Constant(value=str(name))]:
            return name
    return None


NAMES = tuple(sorted(point.name for point in every() if point.name))


@dataclass(frozen=True, slots=True)
class Passing:
    """Which process is to die, and the traffic that comes by."""

    process: str
    traffic: Traffic


def _in(process: str, passed: Mapping[str, Traffic]) -> dict[str, Passing]:
    return {name: Passing(process, by) for name, by in passed.items()}


PASSED: Mapping[str, Passing] = {
    **_in(
        "user",
        {
            "user.registered": visits.register,
            "user.signed_in": visits.sign_in,
            "user.failure_noted": visits.mistype,
            "user.refreshed": visits.refresh,
            "user.reuse_revoked": visits.reuse,
            "user.successor_given": visits.lose_successor,
            "user.signed_out": visits.sign_out,
            "user.renamed": visits.rename,
            "privacy.closed": visits.leave,
            "erasing.gathered": visits.leave,
            "erasing.done_elsewhere": visits.leave,
            "erasing.noted": visits.leave,
            "erasing.forgotten": visits.leave,
            "erasing.ended": visits.leave,
            "actor.answered": visits.rename,
            "relay.read": visits.register,
            "relay.deleted": visits.register,
            "actor.handled": visits.sign_out,
        },
    ),
    **_in(
        "cart",
        {
            "cart.old_forgotten": visits.open_cart,
            "cart.opened": visits.open_cart,
            "cart.changed": visits.fill_cart,
            "mongo.committed": visits.fill_cart,
            "cart.seen": visits.see_new_price,
            "cart.half_merged": visits.merge,
            "cart.merged": visits.merge,
            "cart.emptied": visits.order_cart,
            "cart.given": visits.order_cart_and_go_on,
            "cart.erased": visits.leave,
        },
    ),
    **_in(
        "catalog",
        {
            "catalog.held": traffic.order,
            "catalog.released": traffic.order_too_much,
            "catalog.stock_kept": traffic.order,
            "catalog.import_queued": traffic.bring_file,
            "catalog.import_claimed": traffic.bring_file,
            "catalog.product_imported": traffic.bring_file,
            "catalog.file_imported": traffic.bring_file,
            "catalog.width_stored": traffic.bring_picture,
            "catalog.image_stored": traffic.bring_picture,
            "catalog.image_written": traffic.bring_picture,
            "actor.refused": traffic.take_known_sku,
            "postgres.committed": traffic.put_on_sale,
            "heads.read": traffic.put_on_sale,
        },
    ),
    **_in(
        "order",
        {
            "order.cart_read": visits.order_cart,
            "order.held": traffic.order,
            "order.written": traffic.order,
            "order.given_back": traffic.order_too_much,
            "order.old_hold_returned": traffic.order_late,
            "order.charge_asked": traffic.pay_order,
            "order.cancelled": traffic.cancel,
            "order.updated": traffic.ship,
            "order.unpaid_ended": traffic.never_pay,
            "order.erased": visits.leave,
            "relay.published": traffic.order,
            "deadletter.kept": traffic.say_nonsense,
        },
    ),
    **_in(
        "payment",
        {
            "payment.reserved": traffic.pay,
            "payment.opened": traffic.pay,
            "payment.charge_accepted": traffic.pay_order,
            "payment.claimed": traffic.order,
            "payment.charged": traffic.order,
            "payment.settled": traffic.order,
            "payment.put_off": traffic.order_slowly,
            "payment.left_for_later": traffic.order_and_lose_orders,
            "payment.confirm_accepted": traffic.confirm,
            "payment.confirmed": traffic.confirm,
            "payment.voided": traffic.cancel_unconfirmed,
            "payment.refund_set_aside": traffic.refund,
            "payment.refund_claimed": traffic.refund,
            "payment.refunded": traffic.refund,
            "payment.refund_settled": traffic.refund,
            "payment.erased": visits.leave,
            "simulator.charged": traffic.order,
            "simulator.confirmed": traffic.confirm,
            "simulator.voided": traffic.cancel_unconfirmed,
            "simulator.refunded": traffic.refund,
        },
    ),
    **_in(
        "notification",
        {
            "notification.claimed": traffic.order,
            "notification.accepted": traffic.order,
            "notification.concluded": traffic.order,
            "notification.erased": visits.leave,
            "reactor.applied": traffic.order,
            "reactor.acked_one": traffic.order_several,
        },
    ),
    **_in("edge", {"edge.asked": traffic.order, "edge.uploaded": traffic.bring_file}),
}


def of(process: str) -> Sequence[str]:
    """The points that this process is to die of, in turn."""
    return [name for name, passing in PASSED.items() if passing.process == process]
