"""Products with as many variants as real product files have."""

from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import MAX_VARIANTS, Product
from contracts.failure import InvalidRequest
from contracts.size_limits import MAX_REPLY_BYTES
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import HEADER, CatalogClient, ImportFiles, usd
from tests.services.catalog.test_exports import export, rows_of

VARIANTS = 1_800


def file_of(mark: str) -> str:
    """A product file with one product, as `HEADER` has its columns."""
    rows = [
        f"{mark},{'Wallpaper' if not number else ''},,,,,,{'Roll' if not number else ''},No. {number},{mark}-{number},"
        f"500,{number % 7},19.90,,\n"
        for number in range(VARIANTS)
    ]
    return HEADER + "".join(rows)


async def test_1800_variants_are_imported_served_and_exported(client: CatalogClient, files: ImportFiles) -> None:
    mark = new_id().hex
    job = await files.run_import(file_of(mark))
    assert (job.created, job.variants, job.errors) == (1, VARIANTS, [])
    (found,) = (await client.edge(catalog.SEARCH_PRODUCTS, {"q": f"{mark}-{VARIANTS - 1}"})).items
    body, _ = await client.edge.raw(catalog.GET_PRODUCT, {"key": str(found.id)}, identity=client.admin)
    assert len(body) < MAX_REPLY_BYTES
    product = Product.model_validate_json(body)
    assert [(one.sku, one.available) for one in product.variants] == [(f"{mark}-{n}", n % 7) for n in range(VARIANTS)]
    rows = [row for row in rows_of(await export(client, product, dialect="legacy")) if row["Handle"] == mark]
    assert [row["Variant SKU"] for row in rows] == [one.sku for one in product.variants]


def variants(count: int) -> list[dict[str, Any]]:
    mark = new_id().hex
    return [{"sku": f"{mark}-{n}", "price": usd(100), "stock": 1, "options": {"Roll": f"{n}"}} for n in range(count)]


async def test_a_request_has_at_most_2000_variants(client: CatalogClient) -> None:
    body = {"name": "Wallpaper", "variants": variants(MAX_VARIANTS)}
    product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    assert len(product.variants) == MAX_VARIANTS
    with pytest.raises(InvalidRequest):
        await client.as_admin(catalog.CREATE_PRODUCT, {"name": "Wallpaper", "variants": variants(MAX_VARIANTS + 1)})
