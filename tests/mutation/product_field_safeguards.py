"""The safeguards of product fields, and of what an order takes from them."""

from tests.mutation.safeguard import Safeguard

FIELDS = "tests/services/catalog/test_product_fields.py"
RULES = "tests/services/order/test_pricing_rules.py"

FIELD_SAFEGUARDS = (
    Safeguard(
        "fields: shoppers see what a product costs the shop",
        "services/catalog/handlers/queries.py",
        "    if _is_admin(request.identity):",
        "    if True:",
        (f"{FIELDS}::test_only_administrators_see_the_cost",),
    ),
    Safeguard(
        "fields: a request that does not mention the cost removes it",
        "services/catalog/domain/product_changes.py",
        'after if "cost" in variant.model_fields_set else replace(after, cost=costs.get(variant.sku))',
        "after",
        (f"{FIELDS}::test_a_cost_stays_until_a_request_states_another_one",),
    ),
    Safeguard(
        "fields: products of an older release lack fields",
        "services/catalog/store/product_documents.py",
        "    if _FIRST_NEW_FIELD not in template:",
        "    if False:",
        (f"{FIELDS}::test_a_product_of_an_older_release_has_the_default_fields",),
    ),
    Safeguard(
        "fields: categories below a renamed one keep their old path",
        "services/catalog/migrations/0011_product_fields.up.sql",
        "old.breadcrumbs IS DISTINCT FROM new.breadcrumbs",
        "false",
        (f"{FIELDS}::test_breadcrumbs_follow_the_tree",),
    ),
    Safeguard(
        "fields: all goods are taxed as the standard category",
        "services/order/domain/orders.py",
        "line.quantity, line.tax_category, line.requires_shipping, line.weight_grams or 0",
        "line.quantity",
        (
            f"{RULES}::test_lines_are_taxed_by_their_category_and_shipped_by_their_weight",
            f"{RULES}::test_what_is_not_shipped_needs_no_shipping_method",
        ),
    ),
)
