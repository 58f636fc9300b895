"""Safeguards of products: publication, old slugs, and SKUs that pass from one product to another."""

from tests.mutation.safeguard import Safeguard

MIGRATION = "services/catalog/migrations/0015_inventory.up.sql"
WRITER = "services/catalog/product_writer.py"
DOCUMENTS = "services/catalog/store/product_documents.py"
PRODUCTS = "services/catalog/store/products.py"
CARTS = "services/cart/domain/carts.py"
FREED = "tests/services/catalog/test_freed_skus.py"
LARGE = "tests/services/catalog/test_searches_with_many_matches.py"
OLD_SLUGS = "tests/services/catalog/test_old_slugs.py"
PUBLICATION = "tests/services/catalog/test_publication.py"
CART_VIEWS = "tests/services/cart/test_views.py"

PRODUCT_SAFEGUARDS = (
    Safeguard(
        "publication: lists and details show drafts",
        DOCUMENTS,
        'ON_SALE = "p.is_active AND (p.publish_at IS NULL OR p.publish_at <= now())"',
        'ON_SALE = "p.is_active"',
        (f"{PUBLICATION}::test_shoppers_do_not_meet_a_draft_until_it_is_published",),
    ),
    Safeguard(
        "publication: carts take drafts",
        DOCUMENTS,
        "AND v.on_sale AND (v.publish_at IS NULL OR v.publish_at <= now())",
        "AND v.on_sale",
        (f"{PUBLICATION}::test_shoppers_do_not_meet_a_draft_until_it_is_published",),
    ),
    Safeguard(
        "publication: orders hold drafts",
        MIGRATION,
        "AND (v.publish_at IS NULL OR v.publish_at <= clock_timestamp())",
        "",
        (f"{PUBLICATION}::test_shoppers_do_not_meet_a_draft_until_it_is_published",),
    ),
    Safeguard(
        "publication: all callers list products by status",
        "services/catalog/handlers/queries.py",
        "if body.status is not None and (identity is None or not identity.is_admin):",
        "if False:",
        (f"{PUBLICATION}::test_only_administrators_list_products_by_status",),
    ),
    Safeguard(
        "publication: cached facets outlive the time of a scheduled product",
        "services/catalog/store/product_change_watch.py",
        "OR EXISTS (SELECT FROM product WHERE publish_at > $2 AND publish_at <= now())",
        "OR $2::timestamptz IS NULL",
        (f"{LARGE}::test_cached_facets_follow_a_product_that_is_published_by_its_time",),
    ),
    Safeguard(
        "publication: a replacement that does not mention it publishes a draft",
        "services/catalog/domain/publication_schedule.py",
        "        after = replace(before, is_active=body.is_active)\n",
        "        after = Publication(body.is_active, None)\n",
        (f"{PUBLICATION}::test_a_replacement_that_does_not_mention_it_leaves_a_draft_a_draft",),
    ),
    Safeguard(
        "old slugs: a renamed product is not found",
        WRITER,
        "    if product.slug != before.slug:\n",
        "    if False:\n",
        (f"{OLD_SLUGS}::test_every_former_slug_leads_to_the_current_one",),
    ),
    Safeguard(
        "old slugs: a product that is not on sale hides the one that was renamed",
        DOCUMENTS,
        "if slug not in found or not found[slug].is_on_sale",
        "if slug not in found",
        (f"{OLD_SLUGS}::test_a_product_that_has_the_slug_comes_first_while_it_is_on_sale",),
    ),
    Safeguard(
        "SKUs: one that orders hold passes to another product",
        WRITER,
        "for sku, level in foreign.items() if level.reserved}",
        "for sku, level in foreign.items() if False}",
        (f"{FREED}::test_a_sku_that_orders_still_hold_is_free_once_they_are_settled",),
    ),
    Safeguard(
        "SKUs: units pass to another product",
        "services/catalog/store/stock.py",
        "EXISTS (SELECT FROM owned o WHERE o.sku = stock.sku) AS is_foreign",
        "false AS is_foreign",
        (
            f"{FREED}::test_a_new_product_has_the_sku_and_the_slug_at_once_but_not_the_units",
            f"{FREED}::test_a_removed_variant_leaves_its_sku_without_its_units",
        ),
    ),
    Safeguard(
        "SKUs: an order of one product takes and returns units of another",
        MIGRATION,
        "coalesce(coalesce(s.product_id, s.owner_id) = l.product_id, s.sku IS NOT NULL)",
        "s.sku IS NOT NULL",
        (
            f"{FREED}::test_a_sku_that_orders_still_hold_is_free_once_they_are_settled",
            f"{FREED}::test_an_order_that_is_paid_late_gets_no_units_of_the_other_product",
        ),
    ),
    Safeguard(
        "SKUs: a hold is made again for another product",
        MIGRATION,
        "ELSIF is_known AND known.product_ids <> products THEN",
        "ELSIF false THEN",
        (f"{FREED}::test_an_order_that_is_paid_late_gets_no_units_of_the_other_product",),
    ),
    Safeguard(
        "SKUs: a change that was under way detaches one that another product has taken meanwhile",
        WRITER,
        "        removed = await products.delete_variants(",
        "        await products.delete_variants(",
        (f"{FREED}::test_a_change_under_way_leaves_the_other_product_its_sku",),
    ),
    Safeguard(
        "SKUs: they are taken from products on sale",
        PRODUCTS,
        "AND product_id <> $1 AND NOT on_sale ORDER BY sku",
        "AND product_id <> $1 ORDER BY sku",
        ("tests/services/catalog/test_products.py::test_a_sku_belongs_to_one_product",),
    ),
    Safeguard(
        "carts: a line becomes another product that has taken its SKU",
        CARTS,
        "if quote is not None and quote.product_id == line.product_id else None",
        "if quote is not None else None",
        (f"{CART_VIEWS}::test_another_product_under_the_same_sku_is_not_what_is_in_the_cart",),
    ),
    Safeguard(
        "orders: a cart buys another product that has taken the SKU",
        "services/order/handlers/place.py",
        "        require_products(hold, purchase.products)\n",
        "",
        ("tests/services/order/test_place.py::test_a_cart_does_not_buy_another_product_that_has_taken_the_sku",),
    ),
    Safeguard(
        "old slugs: the edge answers with the product as if nothing had moved",
        "edge/responses.py",
        "if (moved_to := reply_headers.get(headers.MOVED_TO)) is not None:",
        "if (moved_to := None) is not None:",
        ("tests/edge/test_cached_public_replies.py::test_an_old_slug_leads_to_the_path_of_the_current_one",),
    ),
)
