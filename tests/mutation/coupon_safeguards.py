"""What keeps coupons within their limits, removed one at a time by `make safeguards ARGS="--only coupon"`."""

from tests.mutation.safeguard import Safeguard

COUPONS = "tests/services/order/test_coupons.py"
RACES = "tests/services/order/test_coupon_races.py"
DOMAIN = "tests/services/order/test_coupon_domain.py"
CARTS = "tests/services/cart/test_coupons.py"
ORDER = "services/order"

COUPON_SAFEGUARDS = (
    Safeguard(
        "coupon: two processes give one customer a coupon twice",
        f"{ORDER}/store/coupon_uses.py",
        "WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE",
        "WHERE id = ANY($1::uuid[]) ORDER BY id",
        (f"{RACES}::test_two_processes_do_not_give_one_customer_a_coupon_twice",),
    ),
    Safeguard(
        "coupon: orders of one group all take the last use",
        f"{ORDER}/domain/coupons.py",
        "granted.append(use)",
        "pass",
        (f"{DOMAIN}::test_orders_of_one_moment_share_what_is_left",),
    ),
    Safeguard(
        "coupon: a refused order is stored all the same",
        f"{ORDER}/handlers/coupon_redemption.py",
        "        await orders.delete(connection, list(refused))",
        "        pass",
        (f"{RACES}::test_a_refused_coupon_harms_no_other_order_of_its_group",),
    ),
    Safeguard(
        "coupon: an order keeps the discount of a coupon that was edited",
        f"{ORDER}/domain/coupons.py",
        "if coupon is None or coupon.version != use.version:",
        "if coupon is None:",
        (
            f"{RACES}::test_an_edited_coupon_prices_an_order_again",
            f"{DOMAIN}::test_orders_of_one_moment_share_what_is_left",
        ),
    ),
    Safeguard(
        "coupon: a cancelled order keeps its use",
        f"{ORDER}/workers/saga.py",
        "return await coupon_uses.release(tx.connection, order_ids)",
        "return False",
        (f"{COUPONS}::test_a_declined_or_expired_order_gives_its_use_back",),
    ),
    Safeguard(
        "coupon: an expired order keeps its use",
        f"{ORDER}/workers/saga.py",
        "await settle_coupons(tx, transition.target, records)",
        "pass",
        (f"{COUPONS}::test_a_declined_or_expired_order_gives_its_use_back",),
    ),
    Safeguard(
        "coupon: the same order again is refused the coupon that it has used",
        f"{ORDER}/handlers/place.py",
        "return await _placed_before(deps, request, purchase, hold_id, refusal)",
        "raise refusal",
        (f"{COUPONS}::test_the_same_order_again_does_not_count_against_itself",),
    ),
    Safeguard(
        "coupon: orders without one wait for its lock",
        f"{ORDER}/deps.py",
        "return self.placement if draft.coupon is None else self.coupon_placement",
        "return self.placement",
        (f"{RACES}::test_an_order_without_a_coupon_does_not_wait_for_one",),
    ),
    Safeguard(
        "coupon: who guesses too often is still told good codes",
        f"{ORDER}/handlers/coupon_redemption.py",
        "if empty is not None:",
        "if False:",
        (f"{RACES}::test_who_guesses_too_often_is_refused_every_code",),
    ),
    Safeguard(
        "coupon: an erased guest is still counted",
        f"{ORDER}/store/privacy.py",
        "UPDATE coupon_use SET customer_key = NULL FROM found",
        "UPDATE coupon_use SET customer_key = customer_key FROM found",
        (f"{COUPONS}::test_an_erased_guest_is_not_counted_any_more",),
    ),
    Safeguard(
        "coupon: a tag in the e-mail makes a new customer",
        f"{ORDER}/domain/coupons.py",
        "mailbox_of(email)",
        "email",
        (f"{DOMAIN}::test_guests_are_counted_by_the_mailbox_without_storing_it",),
    ),
    Safeguard(
        "coupon: shipping is free by what the goods cost before the discount",
        f"{ORDER}/domain/pricing.py",
        "subtotal - goods_discount",
        "subtotal",
        (f"{DOMAIN}::test_shipping_is_free_over_what_the_goods_cost_after_the_discount",),
    ),
    Safeguard(
        "coupon: a paid order leaves its coupon in the cart",
        "services/cart/store/cart_documents.py",
        '"coupon": "$$REMOVE",\n                "version": _NEXT_VERSION,',
        '"version": _NEXT_VERSION,',
        (f"{CARTS}::test_the_paid_order_of_a_cart_ends_its_coupon",),
    ),
    Safeguard(
        "coupon: a cart accepts a coupon unasked",
        "services/cart/handlers/coupons.py",
        "SetCoupon(coupon)",
        "SetCoupon(None)",
        (f"{CARTS}::test_a_cart_shows_what_its_coupon_takes_off",),
    ),
)
