"""What limits guests before they pay, removed one at a time by `make safeguards ARGS="--only guests"`."""

from tests.mutation.safeguard import Safeguard

LIMITS = "tests/services/order/test_guest_limits.py"
ORDER = "services/order"
HOLDS = "services/catalog/migrations/0015_inventory.up.sql"

GUEST_SAFEGUARDS = (
    Safeguard(
        "guests: orders are not counted",
        f"{ORDER}/handlers/guest_limits.py",
        "if not buckets or await store.take(tx.connection, buckets, window):",
        "if True:",
        (f"{LIMITS}::test_orders_from_one_address_are_limited",),
    ),
    Safeguard(
        "guests: orders are counted before they are stored, not with them",
        f"{ORDER}/store/guest_limits.py",
        "WHERE greatest(bucket.full_at, now()) + (excluded.full_at - now()) <= now() + make_interval(secs => $3)",
        "WHERE $3 > 0",
        (f"{LIMITS}::test_requests_at_the_same_moment_do_not_pass_the_limit",),
    ),
    Safeguard(
        "guests: a bucket never refills",
        f"{ORDER}/store/guest_limits.py",
        "extract(epoch FROM bucket.full_at - now())::float8 + taken.step - $3 AS wait",
        "taken.step + 0 * $3 AS wait",
        (f"{LIMITS}::test_bucket_refills_and_is_deleted_when_full",),
    ),
    Safeguard(
        "guests: a repeated order counts as a new one",
        f"{ORDER}/handlers/place.py",
        "if await store.find_existing(connection, hold_id, cart_version) is not None:",
        "if False:",
        (f"{LIMITS}::test_repeat_of_an_order_is_not_counted_again",),
    ),
    Safeguard(
        "guests: a tag makes another recipient",
        f"{ORDER}/domain/guest_limits.py",
        "name.partition('+')[0] or name",
        "name",
        (f"{LIMITS}::test_orders_for_one_mailbox_are_limited",),
    ),
    Safeguard(
        "guests: one order may hold all of the stock",
        "services/catalog/handlers/holds.py",
        "deps.currency, body.guest_limit",
        "deps.currency, None",
        (f"{LIMITS}::test_one_order_holds_a_share_of_the_stock",),
    ),
    Safeguard(
        "guests: many orders may hold all of the stock",
        HOLDS,
        "- coalesce(held.quantity, 0)",
        "",
        (f"{LIMITS}::test_unpaid_guests_hold_a_share_of_the_stock_together",),
    ),
    Safeguard(
        "guests: an order waits as long as a customer's",
        f"{ORDER}/deps.py",
        "return self.guest_limits.pay_within_seconds if buyer.user_id is None else self.pay_within_seconds",
        "return self.pay_within_seconds",
        (f"{LIMITS}::test_guest_has_less_time_to_pay",),
    ),
    Safeguard(
        "guests: addresses are stored in clear",
        f"{ORDER}/domain/guest_limits.py",
        'key = hmac.digest(self.secret.encode(), f"guest limit\\0{kind}\\0{value}".encode(), "sha256")',
        'key = hmac.digest(b"", f"guest limit\\0{kind}\\0{value}".encode(), "sha256")',
        (f"{LIMITS}::test_key_tells_neither_address_nor_email",),
    ),
)
