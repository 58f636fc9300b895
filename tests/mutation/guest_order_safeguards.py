"""What keeps guests' orders, internal notes and exported orders to whom they belong, removed one at a time."""

from tests.mutation.safeguard import Safeguard

GUEST_ORDERS = "tests/services/order/test_guest_orders.py"
NOTES = "tests/services/order/test_order_notes.py"
SEARCH = "tests/services/order/test_order_search.py"
ORDER = "services/order"

GUEST_ORDER_SAFEGUARDS = (
    Safeguard(
        "guest orders: a link is mailed for any e-mail",
        f"{ORDER}/store/order_lookup_queue.py",
        "lower(email) = ANY($2::text[])",
        "(true OR lower(email) = ANY($2::text[]))",
        (f"{GUEST_ORDERS}::test_only_a_guest_with_the_right_email_gets_a_mail",),
    ),
    Safeguard(
        "guest orders: look-ups from one address are not limited",
        f"{ORDER}/handlers/guest_orders.py",
        "    if await guest_limits.take(tx.connection, buckets, limits.window_seconds):\n        return\n",
        "    return\n",
        (f"{GUEST_ORDERS}::test_lookups_from_one_address_are_limited",),
    ),
    Safeguard(
        "guest orders: mails to one mailbox are not limited",
        f"{ORDER}/handlers/guest_orders.py",
        "if await guest_limits.take(tx.connection, mailbox, limits.window_seconds) and serial is not None:",
        "if mailbox is not None and serial is not None:",
        (f"{GUEST_ORDERS}::test_mails_to_one_mailbox_are_limited_silently",),
    ),
    Safeguard(
        "guest orders: an account claims an order without having verified the e-mail",
        f"{ORDER}/handlers/guest_orders.py",
        "if contact.email_verified else []",
        "",
        (f"{GUEST_ORDERS}::test_claim_is_refused_alike_whatever_is_wrong",),
    ),
    Safeguard(
        "guest orders: an account claims an order of another e-mail",
        f"{ORDER}/domain/access.py",
        'if record is None or not is_guests or (record.email or "").lower() not in verified_emails:',
        "if record is None or not is_guests or not verified_emails:",
        (f"{GUEST_ORDERS}::test_claim_is_refused_alike_whatever_is_wrong",),
    ),
    Safeguard(
        "guest orders: the payments of a claimed order stay the guest's",
        "services/payment/store/payments.py",
        "UPDATE payment SET user_id = $2 WHERE order_id = $1 AND user_id IS DISTINCT FROM $2",
        "UPDATE payment SET user_id = $2 WHERE order_id = $1 AND user_id = $2",
        (f"{GUEST_ORDERS}::test_claimed_order_is_the_customers_everywhere",),
    ),
    Safeguard(
        "guest orders: a payment that is opened during a claim stays the guest's",
        f"{ORDER}/domain/events.py",
        "is_told = record.is_claimed and record.previous_status is OrderStatus.PENDING",
        "is_told = False",
        (f"{GUEST_ORDERS}::test_order_that_was_claimed_before_it_was_paid_tells_its_customer_again",),
    ),
    Safeguard(
        "guest orders: a claim lets the customer use a coupon again",
        f"{ORDER}/store/order_claims.py",
        "SET customer_key = uuid_send($2)",
        "SET customer_key = customer_key",
        (f"{GUEST_ORDERS}::test_use_of_a_coupon_becomes_the_customers",),
    ),
    Safeguard(
        "guest orders: an erasure takes an order that another account has claimed",
        f"{ORDER}/store/privacy.py",
        "(user_id IS NULL OR user_id = $2)",
        "(user_id IS NULL OR user_id = $2 OR true)",
        (f"{GUEST_ORDERS}::test_claimed_order_is_the_customers_everywhere",),
    ),
    Safeguard(
        "order notes: customers read internal notes",
        f"{ORDER}/store/records.py",
        "for note in notes if note.shown_to_customer",
        "for note in notes",
        (f"{NOTES}::test_customer_reads_only_the_notes_that_are_shown",),
    ),
    Safeguard(
        "order notes: an erasure leaves them",
        f"{ORDER}/store/privacy.py",
        " notes = NULL,",
        "",
        (f"{NOTES}::test_export_has_all_notes_and_erasure_leaves_none",),
    ),
    Safeguard(
        "order search: names stay findable after an erasure",
        f"{ORDER}/migrations/0010_guest_orders_and_search_keys.up.sql",
        "    WHERE order_id = OLD.id\n",
        "    WHERE order_id = OLD.id AND false\n",
        (f"{SEARCH}::test_keys_follow_a_changed_address_and_a_refused_order",),
    ),
    Safeguard(
        "order search: customers search by e-mail",
        f"{ORDER}/handlers/order_filters.py",
        "    if not identity.is_admin:\n        raise Forbidden\n",
        "",
        (f"{SEARCH}::test_orders_are_found_by_email",),
    ),
    Safeguard(
        "order export: a cell runs as a formula in a spreadsheet",
        f"{ORDER}/domain/exported_order_rows.py",
        "[escape_formula(cell) for cell in cells]",
        "[cell for cell in cells if escape_formula]",
        (f"{SEARCH}::test_no_cell_is_a_formula",),
    ),
    Safeguard(
        "order export: a page is larger than a reply may be",
        f"{ORDER}/domain/exported_order_rows.py",
        "if count and size > max_bytes:",
        "if False:",
        (f"{SEARCH}::test_lines_are_cut_at_the_size_of_a_page",),
    ),
)
