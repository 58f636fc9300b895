"""What keeps prices current and rules unambiguous, removed one at a time by `make safeguards ARGS="--only pricing"`."""

from tests.mutation.safeguard import Safeguard

RULES = "tests/services/order/test_pricing_rules.py"
PRICING = "tests/services/order/test_pricing.py"
ORDER = "services/order"

PRICING_SAFEGUARDS = (
    Safeguard(
        "pricing: goods of a category without a rate are not taxed",
        f"{ORDER}/domain/applicable_taxes.py",
        "return self._find(place, DEFAULT_TAX_CATEGORY, at) or NOT_COLLECTING",
        "return NOT_COLLECTING",
        (f"{PRICING}::test_goods_of_a_category_without_a_rate_where_they_go_are_taxed_as_standard",),
    ),
    Safeguard(
        "pricing: an order is stored at the prices of old rules",
        f"{ORDER}/store/insert.py",
        "WHERE rules_version = (SELECT version FROM pricing_rules)",
        "WHERE rules_version > 0",
        (
            f"{RULES}::test_a_process_with_old_rules_stores_no_order_at_old_prices",
            f"{RULES}::test_an_order_priced_by_old_rules_does_not_harm_others_of_its_group",
        ),
    ),
    Safeguard(
        "pricing: an order is refused by old rules",
        f"{ORDER}/store/pricing_rules.py",
        "if await connection.fetchval(_GET_VERSION) == rules.version:",
        "if True:",
        (f"{RULES}::test_a_process_with_old_rules_stores_no_order_at_old_prices",),
    ),
    Safeguard(
        "pricing: two changes at the same moment do not see each other",
        f"{ORDER}/store/pricing_rules.py",
        "UPDATE pricing_rules SET version = version + 1",
        "SELECT version FROM pricing_rules",
        (
            f"{RULES}::test_rates_that_would_apply_together_are_refused",
            f"{RULES}::test_a_place_belongs_to_one_zone",
        ),
    ),
    Safeguard(
        "pricing: the least specific rate of a priority applies",
        f"{ORDER}/domain/applicable_taxes.py",
        "by_priority.setdefault(rate.priority, rate)",
        "by_priority[rate.priority] = rate",
        (f"{PRICING}::test_the_most_specific_rate_of_each_priority_applies",),
    ),
    Safeguard(
        "pricing: bands of shipping prices overlap",
        "contracts/order/shipping.py",
        "if same_currency and (lower.to is None or lower.to > upper.from_):",
        "if False:",
        ("tests/services/order/test_shipping.py::test_bands_are_half_open",),
    ),
    Safeguard(
        "pricing: an order is checked for a method only after its stock is held",
        f"{ORDER}/handlers/place.py",
        "await deps.pricing_rules.decide(deps.db, partial(require_known_method, body))",
        "pass",
        ("tests/services/order/test_place.py::test_an_invalid_body_is_refused",),
    ),
)
