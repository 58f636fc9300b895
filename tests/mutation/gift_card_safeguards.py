"""What keeps gift cards from being overdrawn or lost, removed one at a time by `make safeguards ARGS="--only gift"`."""

from tests.mutation.safeguard import Safeguard

PAYMENT, ORDER = "services/payment", "services/order"
CARDS = "tests/services/payment/test_gift_cards.py"
DOMAIN = "tests/services/payment/test_gift_card_domain.py"
ORDERS = "tests/services/order/test_gift_cards.py"

GIFT_CARD_SAFEGUARDS = (
    Safeguard(
        "gift card: two orders hold the same part of a card",
        f"{PAYMENT}/store/gift_cards.py",
        "WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE",
        "WHERE id = ANY($1::uuid[]) ORDER BY id",
        (f"{CARDS}::test_parallel_orders_never_overdraw_a_card",),
    ),
    Safeguard(
        "gift card: a repeated hold holds again",
        f"{PAYMENT}/handlers/gift_cards.py",
        "        if shares:\n",
        "        if False:\n",
        (f"{CARDS}::test_a_repeated_hold_has_one_effect",),
    ),
    Safeguard(
        "gift card: a hold expires while its payment is under way",
        f"{PAYMENT}/store/gift_card_holds.py",
        "AND state = 'held' AND payment_id IS NULL\n    RETURNING",
        "AND state = 'held'\n    RETURNING",
        (
            f"{CARDS}::test_a_hold_expires_unless_a_payment_will_spend_it",
            f"{CARDS}::test_a_cancelled_order_releases_its_cards_once_its_payment_has_ended",
        ),
    ),
    Safeguard(
        "gift card: a payment begins although its cards were released",
        f"{PAYMENT}/domain/charges.py",
        "    if not attempt.gift_cards_held:\n",
        "    if False:\n",
        (
            f"{CARDS}::test_a_payment_whose_cards_were_released_charges_nothing",
            f"{DOMAIN}::test_a_gateway_is_asked_only_for_what_is_due",
        ),
    ),
    Safeguard(
        "gift card: a cancelled order keeps its part",
        f"{PAYMENT}/handlers/events.py",
        "        await gift_card_holds.release(tx.connection, [event.gift_cards.hold_id])",
        "        pass",
        (f"{CARDS}::test_an_order_that_was_never_paid_gives_its_cards_back",),
    ),
    Safeguard(
        "gift card: a payment that fails after the cancellation keeps its part",
        f"{PAYMENT}/workers/charge_outcomes.py",
        "            await gift_card_holds.release(tx.connection, ended)",
        "            pass",
        (f"{CARDS}::test_a_cancelled_order_releases_its_cards_once_its_payment_has_ended",),
    ),
    Safeguard(
        "gift card: a disabled card takes money back",
        f"{PAYMENT}/domain/gift_cards.py",
        "parts.append(RefundPart(part, share.card, share.card.refusal(at)))",
        "parts.append(RefundPart(part, share.card, None))",
        (
            f"{CARDS}::test_a_disabled_card_pays_no_order_and_takes_no_money_back",
            f"{DOMAIN}::test_the_last_card_used_is_refunded_first_and_a_disabled_one_stays_owed",
        ),
    ),
    Safeguard(
        "gift card: unknown codes may be guessed without limit",
        f"{PAYMENT}/handlers/gift_cards.py",
        "        if bucket and None in cards:\n",
        "        if False:\n",
        (f"{CARDS}::test_who_guesses_too_often_is_refused_every_code",),
    ),
    Safeguard(
        "gift card: a refused order keeps its part",
        f"{ORDER}/handlers/place.py",
        "            await gift_card_holds.release(deps, draft)\n        raise",
        "            pass\n        raise",
        (f"{ORDERS}::test_a_refused_order_releases_its_part_of_the_card",),
    ),
    Safeguard(
        "gift card: a repeated order releases the part of the order that exists",
        f"{ORDER}/handlers/gift_card_holds.py",
        "        if not in_use:\n",
        "        if True:\n",
        (f"{ORDERS}::test_the_same_order_again_holds_the_card_once",),
    ),
    Safeguard(
        "gift card: each try holds the card again",
        f"{ORDER}/domain/gift_cards.py",
        'return UUID(bytes=hmac.digest(secret.encode(), text.encode(), "sha256")[:_UUID_BYTES])',
        'return __import__("uuid").uuid4()',
        (
            f"{ORDERS}::test_a_try_that_died_after_its_hold_is_continued_by_the_next_one",
            f"{ORDERS}::test_requests_with_other_cards_have_other_holds",
        ),
    ),
)
