"""The safeguards of reviews and ratings."""

from tests.mutation.safeguard import Safeguard

REVIEWS = "tests/services/catalog/test_reviews.py"
BUYERS = (f"{REVIEWS}::test_only_a_customer_with_a_paid_order_reviews_a_product_once",)
ERASED = (f"{REVIEWS}::test_an_erased_customer_leaves_only_the_rating",)

REVIEW_SAFEGUARDS = (
    Safeguard(
        "review: written without a purchase",
        "services/catalog/handlers/reviews.py",
        "    if purchase.order_id is None:",
        "    if purchase is None:",
        BUYERS,
    ),
    Safeguard(
        "review: a cancelled order counts as a purchase",
        "services/order/store/queries.py",
        "status IN ('paid', 'shipped', 'delivered', 'refunded') AND items",
        "items",
        BUYERS,
    ),
    Safeguard(
        "review: a customer reads and changes those of others",
        "services/catalog/domain/reviews.py",
        "if record is None or record.review.user_id != identity.user_id:",
        "if record is None:",
        (f"{REVIEWS}::test_a_review_belongs_to_its_author",),
    ),
    Safeguard(
        "review: a text is published that no administrator has read",
        "services/catalog/domain/reviews.py",
        "if if_match is not None and record.version not in if_match:",
        "if False:",
        (f"{REVIEWS}::test_an_administrator_publishes_the_text_that_was_read",),
    ),
    Safeguard(
        "review: a changed text stays published",
        "services/catalog/domain/reviews.py",
        "        status=ReviewStatus.PENDING,\n        reason=None,\n        updated_at=now,",
        "        reason=None,\n        updated_at=now,",
        (f"{REVIEWS}::test_a_review_is_shown_and_counted_only_while_it_is_published",),
    ),
    Safeguard(
        "review: card numbers are stored",
        "services/catalog/domain/reviews.py",
        "if contains_card_number(text)",
        "if not text.isprintable()",
        (f"{REVIEWS}::test_a_card_number_is_refused",),
    ),
    Safeguard(
        "rating: concurrent moderators read the same status",
        "services/catalog/store/reviews.py",
        '_LOCK = f"{_FIND} FOR UPDATE"',
        '_LOCK = f"{_FIND}"',
        (f"{REVIEWS}::test_the_rating_is_exact_when_many_change_it_at_once",),
    ),
    Safeguard(
        "rating: a product shows the one of its last change",
        "services/catalog/store/product_documents.py",
        'return template % (row["rating_average"], row["rating_count"],',
        "return template % (0.0, 0,",
        (f"{REVIEWS}::test_a_review_is_shown_and_counted_only_while_it_is_published",),
    ),
    Safeguard(
        "rating: products keep the rank that the shop's former average gave them",
        "services/catalog/app.py",
        "deps.search_indexer, deps.rating_ranker, ",
        "deps.search_indexer, ",
        (f"{REVIEWS}::test_lists_and_search_follow_the_rating",),
    ),
    Safeguard(
        "erasure: reviews keep their texts",
        "services/catalog/store/reviews.py",
        "SET user_id = NULL, title = '', body = '', reason = NULL, answer = NULL,",
        "SET user_id = NULL,",
        ERASED,
    ),
    Safeguard(
        "erasure: replies to administrators keep the reviews",
        "services/catalog/handlers/privacy.py",
        "await deps.db.forget_replies(user_id, [str(user_id)])",
        "await deps.db.forget_replies(user_id, [])",
        ERASED,
    ),
)
