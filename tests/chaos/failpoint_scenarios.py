"""The failpoints in the code, and for each the process that dies there and the scenario that reaches it.

A failpoint is written once, as a literal, so that the code can be searched for the name in a report.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import account_and_cart_crash_scenarios as visits
from tests.chaos import order_crash_scenarios as traffic
from tests.chaos.crash_harness import Scenario

ROOT = Path(__file__).parents[2]
SOURCE_FOLDERS = ("services", "infra", "edge")
FAILPOINT_FUNCTION = "failpoint"


@dataclass(frozen=True, slots=True)
class FailpointCall:
    """One call of `failpoint` in the code; `name` is None if it is not a literal."""

    name: str | None
    file: Path
    line: int

    @property
    def allowed_prefixes(self) -> set[str]:
        """What may stand before the dot: the service or `edge`, the module, or a class in it."""
        tree = ast.parse((ROOT / self.file).read_text())
        classes = {node.name.lower() for node in tree.body if isinstance(node, ast.ClassDef)}
        service = self.file.parts[1] if self.file.parts[0] == "services" else self.file.parts[0]
        return {service, self.file.stem, *classes}


def find_failpoints(root: Path = ROOT) -> Iterator[FailpointCall]:
    """Every call in the code."""
    for part in SOURCE_FOLDERS:
        for file in sorted((root / part).rglob("*.py")):
            text = file.read_text()
            for node in ast.walk(ast.parse(text)) if f"{FAILPOINT_FUNCTION}(" in text else ():
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id == FAILPOINT_FUNCTION
                ):
                    yield FailpointCall(_literal(node), file.relative_to(root), node.lineno)


def _literal(call: ast.Call) -> str | None:
    match call.args:
        case [ast.Constant(value=str(name))]:
            return name
    return None


FAILPOINT_NAMES = tuple(sorted(point.name for point in find_failpoints() if point.name))


@dataclass(frozen=True, slots=True)
class FailpointScenario:
    """The process that dies, and the scenario that reaches the failpoint."""

    process: str
    scenario: Scenario


def _in(process: str, passed: Mapping[str, Scenario]) -> dict[str, FailpointScenario]:
    return {name: FailpointScenario(process, by) for name, by in passed.items()}


SCENARIOS: Mapping[str, FailpointScenario] = {
    **_in(
        "user",
        {
            "user.registered": visits.register,
            "user.signed_in": visits.log_in,
            "user.failure_noted": visits.log_in_with_wrong_password,
            "user.refreshed": visits.refresh_session,
            "user.reuse_revoked": visits.reuse_refresh_token,
            "user.successor_given": visits.lose_refreshed_token,
            "user.signed_out": visits.log_out,
            "user.renamed": visits.rename_user,
            "privacy.closed": visits.close_account,
            "erasure_saga.gathered": visits.close_account,
            "erasure_saga.done_elsewhere": visits.close_account,
            "erasure_saga.noted": visits.close_account,
            "erasure_saga.forgotten": visits.close_account,
            "erasure_saga.ended": visits.close_account,
            "rpc_server.before_reply": visits.rename_user,
            "relay.read": visits.register,
            "relay.deleted": visits.register,
            "rpc_server.handled": visits.log_out,
        },
    ),
    **_in(
        "cart",
        {
            "cart.expired_deleted": visits.open_cart,
            "cart.opened": visits.open_cart,
            "cart.changed": visits.fill_cart,
            "cart.group_written": visits.fill_cart_without_key,
            "mongo.committed": visits.fill_cart,
            "cart.seen_lines_saved": visits.read_changed_price,
            "cart.half_merged": visits.merge_carts,
            "cart.merged": visits.merge_carts,
            "cart.emptied": visits.order_cart,
            "cart.order_applied": visits.change_cart_while_ordering,
            "cart.erased": visits.close_account,
        },
    ),
    **_in(
        "catalog",
        {
            "catalog.held": traffic.place_order,
            "catalog.released": traffic.exceed_payment_limit,
            "catalog.holds_settled": traffic.place_order,
            "catalog.import_queued": traffic.import_products,
            "catalog.import_claimed": traffic.import_products,
            "catalog.products_imported": traffic.import_products,
            "catalog.file_imported": traffic.import_products,
            "catalog.erased": visits.close_account,
            "catalog.search_indexed": traffic.index_products,
            "catalog.width_stored": traffic.upload_image,
            "catalog.image_stored": traffic.upload_image,
            "catalog.image_written": traffic.upload_image,
            "catalog.image_forgotten": traffic.delete_image,
            "rpc_server.failed": traffic.create_duplicate_sku,
            "postgres.committed": traffic.create_product,
            "audit_anchor.read": traffic.create_product,
        },
    ),
    **_in(
        "order",
        {
            "order.cart_read": visits.order_cart,
            "order.stock_held": traffic.place_order,
            "order.written": traffic.place_order,
            "order.gift_cards_held": traffic.order_with_gift_card,
            "order.refused": traffic.exceed_coupon_limit,
            "order.hold_released": traffic.exceed_payment_limit,
            "order.stale_hold_released": traffic.order_with_expiring_hold,
            "order.charge_requested": traffic.pay_order,
            "order.cancelled": traffic.cancel_order,
            "order.updated": traffic.ship_order,
            "order.unpaid_cancelled": traffic.leave_unpaid,
            "order.invoice_issued": traffic.issue_invoice,
            "order.invoice_stored": traffic.issue_invoice,
            "order.invoice_rendered": traffic.issue_invoice,
            "order.erased": visits.close_account,
            "relay.published": traffic.place_order,
            "dead_letters.stored": traffic.publish_unreadable_event,
        },
    ),
    **_in(
        "payment",
        {
            "payment.reserved": traffic.create_payment,
            "payment.opened": traffic.create_payment,
            "payment.charge_accepted": traffic.pay_order,
            "payment.claimed": traffic.place_order,
            "payment.gift_cards_held": traffic.order_with_gift_card,
            "payment.charged": traffic.place_order,
            "payment.settled": traffic.place_order,
            "payment.postponed": traffic.order_with_slow_gateway,
            "payment.returned_unused": traffic.charge_while_order_is_down,
            "payment.confirm_accepted": traffic.confirm_payment,
            "payment.confirmed": traffic.confirm_payment,
            "payment.voided": traffic.cancel_unconfirmed,
            "payment.refund_reserved": traffic.refund_payment,
            "payment.refund_claimed": traffic.refund_payment,
            "payment.refunded": traffic.refund_payment,
            "payment.refund_settled": traffic.refund_payment,
            "payment.erased": visits.close_account,
            "simulator.charged": traffic.place_order,
            "simulator.confirmed": traffic.confirm_payment,
            "simulator.voided": traffic.cancel_unconfirmed,
            "simulator.refunded": traffic.refund_payment,
        },
    ),
    **_in(
        "notification",
        {
            "notification.claimed": traffic.place_order,
            "notification.mail_counted": traffic.place_order,
            "notification.accepted": traffic.place_order,
            "notification.concluded": traffic.place_order,
            "notification.erased": visits.close_account,
            "consumer.applied": traffic.place_order,
            "consumer.acked_one": traffic.place_several_orders,
        },
    ),
    **_in("edge", {"edge.asked": traffic.place_order, "edge.uploaded": traffic.import_products}),
}


def failpoints_of(process: str) -> Sequence[str]:
    """The failpoints of a process, in turn."""
    return [name for name, passing in SCENARIOS.items() if passing.process == process]
