"""Puts the prices in force into a product's document."""

import re
from collections import defaultdict
from typing import Any

import orjson

_PLACEHOLDER = re.compile(r"%(.)")
_MARK = '"\\u0001"'
"""A string in place of a placeholder; no text of a product has its character."""


def with_planned_prices(template: str, planned: str) -> str:
    """The template of a document with the prices in force.

    `planned` is a JSON array of rows: SKU, quantity, price, compare-at price and prior price in minor units.
    """
    product = orjson.loads(_PLACEHOLDER.sub(lambda found: "%" if found[1] == "%" else _MARK, template))
    rows: defaultdict[str, list[list[Any]]] = defaultdict(list)
    for sku, *row in orjson.loads(planned):
        rows[sku].append(row)
    for variant in product["variants"]:
        if variant["sku"] in rows:
            variant.update(_prices(rows[variant["sku"]], variant["price"]["currency"]))
    product["price"]["amount"] = min(variant["price"]["amount"] for variant in product["variants"])
    return orjson.dumps(product).decode().replace("%", "%%").replace(_MARK, "%s")


def _prices(rows: list[list[Any]], currency: str) -> dict[str, Any]:
    """The fields of a variant. The first row is the price of one unit; the others are of larger quantities."""
    (_, amount, compare_at, prior), *others = rows
    breaks, last = [], amount
    for min_quantity, price, *_ in others:
        if price != last:
            breaks.append({"min_quantity": min_quantity, "price": _money(price, currency)})
        last = price
    fields: dict[str, Any] = {
        "price": _money(amount, currency),
        "compare_at_price": None if compare_at is None else _money(compare_at, currency),
    }
    if prior is not None:
        fields["prior_price"] = _money(prior, currency)
    if breaks:
        fields["price_breaks"] = breaks
    return fields


def _money(amount: int, currency: str) -> dict[str, Any]:
    return {"amount": amount, "currency": currency}
