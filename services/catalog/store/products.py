"""The statements that write products and their variants."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from contracts.catalog import CategoryUnknown, SlugTaken
from contracts.failure import FieldError
from infra.database.postgres import Connection
from services.catalog.domain.product_records import ProductRecord, product_from_row
from services.catalog.domain.search_index import search_columns
from services.catalog.domain.shopify.made_handles import split_handle
from services.catalog.domain.shopify.sku_claims import SkuOwner
from services.catalog.store.search_index import column_values

_INSERT = """
WITH one AS (
    INSERT INTO product (id, slug, name, description, category_id, tags, attributes, price, is_active, version, handle,
                         sources, created_at, updated_at, folded_name, name_key, tag_keys, terms, indexed_version,
                         publish_at, vendor, tax_category, seo_title, seo_description, facet_ids, search_version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $29, $30, $18, $19, $20,
            product_words($18, $21, $24, $22, $23), $10, $13, $14, $15, $16, $17, $25, $10)
    ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO product_document (product_id, document) SELECT id, $31 FROM one
RETURNING product_id, add_search_terms($28, $25, $26, $27)
"""
_UPDATE = """
WITH one AS (
    UPDATE product SET slug = $2, name = $3, description = $4, category_id = $5, tags = $6, attributes = $7, price = $8,
                       is_active = $9, version = $10, handle = $11, sources = $12, updated_at = $29,
                       folded_name = $18, name_key = $19, tag_keys = $20,
                       terms = product_words($18, $21, $24, $22, $23), facet_ids = $25, search_version = $10,
                       indexed_version = $10, publish_at = $13, vendor = $14, tax_category = $15, seo_title = $16,
                       seo_description = $17
    WHERE id = $1 RETURNING id
)
UPDATE product_document SET document = $30 FROM one WHERE product_id = one.id
RETURNING add_search_terms($28, $25, $26, $27)
"""
PRODUCT_COLUMNS = """
       p.id, p.slug, p.name, p.description, p.category_id, p.tags, p.attributes, p.is_active,
       p.created_at, p.updated_at, p.version, p.rating_average, p.rating_count, p.handle, p.sources, p.publish_at,
       (p.planned_prices IS NOT NULL OR p.planned_prices_end IS NOT NULL) AS has_price_plan,
       p.vendor, p.tax_category, p.seo_title, p.seo_description,
       (SELECT jsonb_agg(to_jsonb(v) - 'position' ORDER BY v.position)
        FROM (
            SELECT sku, position, options, price, compare_at_price, weight_grams, barcode, cost, requires_shipping,
                   false AS is_freed
            FROM variant WHERE product_id = p.id UNION ALL
            SELECT sku, position, options, price, compare_at_price, weight_grams, barcode, cost, requires_shipping, true
            FROM freed_variant WHERE product_id = p.id
        ) v) AS variants,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('id', i.id, 'alt', i.alt) ORDER BY i.position), '[]')
        FROM image i WHERE i.product_id = p.id) AS images
"""
"""The columns of product `p` that make a `ProductRecord`."""
_PRODUCT = f"SELECT {PRODUCT_COLUMNS} FROM product p WHERE p.id = $1"  # noqa: S608 - constants
_PRODUCTS = f"SELECT {PRODUCT_COLUMNS} FROM product p WHERE p.id = ANY($1)"  # noqa: S608 - constants
_LOCK = "SELECT 1 FROM product WHERE id = $1 FOR UPDATE"
IMPORTED_PRECEDENCE = "is_active DESC, id DESC"
"""Which of the products with a slug a product file names by it."""
_LOCK_IMPORTED = f"""
SELECT id, $1 AS stated FROM product WHERE handle = $1 OR (slug = $1 AND handle IS NULL)
ORDER BY (handle = $1) DESC NULLS LAST, {IMPORTED_PRECEDENCE} LIMIT 1 FOR UPDATE
"""  # noqa: S608 - constants
_LOCK_MADE = """
SELECT id FROM product WHERE slug = $1 AND handle IS NULL AND right(replace(id::text, '-', ''), 12) = $2 FOR UPDATE
"""
_SET_HANDLE = "UPDATE product SET handle = $2 WHERE id = $1"
_UPSERT_VARIANTS = """
INSERT INTO variant (sku, product_id, position, options, price, compare_at_price, weight_grams, barcode, cost,
                     requires_shipping, card, on_sale, publish_at, tax_category)
SELECT v.sku, $1, v.position, v.options, v.price, v.compare_at_price, v.weight_grams, v.barcode, v.cost,
       v.requires_shipping, v.card, $2, $3, $4
FROM unnest($5::text[], $6::jsonb[], $7::bigint[], $8::bigint[], $9::int[], $10::text[], $11::bigint[], $12::bool[],
            $13::text[]) WITH ORDINALITY
    AS v (sku, options, price, compare_at_price, weight_grams, barcode, cost, requires_shipping, card, position)
ORDER BY v.sku
ON CONFLICT (sku) DO UPDATE SET
    position = excluded.position, options = excluded.options, price = excluded.price,
    compare_at_price = excluded.compare_at_price, weight_grams = excluded.weight_grams, barcode = excluded.barcode,
    cost = excluded.cost, requires_shipping = excluded.requires_shipping, card = excluded.card,
    on_sale = excluded.on_sale, publish_at = excluded.publish_at, tax_category = excluded.tax_category
WHERE variant.product_id = excluded.product_id
RETURNING sku
"""
_DELETE_VARIANTS = "DELETE FROM variant WHERE product_id = $1 AND sku = ANY($2) RETURNING sku"
_FREE_VARIANTS = """
WITH freed AS (
    DELETE FROM variant WHERE sku = ANY (ARRAY(
        SELECT sku FROM variant WHERE sku = ANY($2) AND product_id <> $1 AND NOT on_sale ORDER BY sku FOR UPDATE
    ))
    RETURNING product_id, sku, position, options, price, compare_at_price, weight_grams, barcode, cost,
              requires_shipping
)
INSERT INTO freed_variant (product_id, sku, position, options, price, compare_at_price, weight_grams, barcode, cost,
                           requires_shipping)
SELECT product_id, sku, position, options, price, compare_at_price, weight_grams, barcode, cost, requires_shipping
FROM freed
"""
_DELETE_FREED = "DELETE FROM freed_variant WHERE product_id = $1"
_WRITE_FREED = """
INSERT INTO freed_variant (product_id, sku, position, options, price, compare_at_price, weight_grams, barcode, cost,
                           requires_shipping)
SELECT $1, v.sku, v.position, v.options, v.price, v.compare_at_price, v.weight_grams, v.barcode, v.cost,
       v.requires_shipping
FROM unnest($2::text[], $3::jsonb[], $4::bigint[], $5::bigint[], $6::int[], $7::text[], $8::bigint[], $9::bool[])
    WITH ORDINALITY
    AS v (sku, options, price, compare_at_price, weight_grams, barcode, cost, requires_shipping, position)
WHERE v.sku = ANY ($10)
"""
_REMEMBER_SLUG = """
INSERT INTO old_slug (slug, product_id) VALUES ($1, $2)
ON CONFLICT (slug) DO UPDATE SET product_id = excluded.product_id
"""
_FORGET_SLUG = "DELETE FROM old_slug WHERE slug = $1 AND product_id = $2"
_SLUG_IN_USE = "SELECT EXISTS (SELECT FROM product WHERE slug = $1 AND is_active AND id <> $2)"
_SKU_OWNERS = """
SELECT v.sku, p.id, CASE
    WHEN p.handle IS NULL AND EXISTS (SELECT FROM product o WHERE o.handle = p.slug) THEN ''
    ELSE coalesce(p.handle, p.slug)
END AS handle
FROM variant v JOIN product p ON p.id = v.product_id WHERE v.sku = ANY($1)
"""
_SINGLE_SKUS = """
SELECT product_id, min(sku) AS sku FROM variant
WHERE product_id = ANY($1) AND on_sale AND (publish_at IS NULL OR publish_at <= now()) GROUP BY product_id
HAVING count(*) = 1
"""


async def insert_all(connection: Connection, products: Sequence[tuple[ProductRecord, str]]) -> int:
    """Inserts products with their documents; returns how many. The others meet the slug or handle of another one."""
    rows = [(*_columns(product), product.created_at, product.updated_at, document) for product, document in products]
    try:
        return len(await connection.fetchmany(_INSERT, rows))
    except asyncpg.ForeignKeyViolationError as error:
        raise _category_unknown() from error


async def insert(connection: Connection, product: ProductRecord, document: str) -> bool:
    """Whether the product was inserted; False when another product has its slug or its handle."""
    try:
        inserted_id = await connection.fetchval(
            _INSERT, *_columns(product), product.created_at, product.updated_at, document
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise _category_unknown() from error
    return inserted_id is not None


async def update_all(connection: Connection, products: Sequence[tuple[ProductRecord, str]]) -> None:
    """Updates products whose rows the caller has locked, with their documents."""
    rows = [(*_columns(product), product.updated_at, document) for product, document in products]
    try:
        await connection.executemany(_UPDATE, rows)
    except asyncpg.ForeignKeyViolationError as error:
        raise _category_unknown() from error


async def update(connection: Connection, product: ProductRecord, document: str) -> None:
    """Updates a product whose row the caller has locked."""
    try:
        await connection.execute(_UPDATE, *_columns(product), product.updated_at, document)
    except asyncpg.ForeignKeyViolationError as error:
        raise _category_unknown() from error
    except asyncpg.UniqueViolationError as error:
        raise SlugTaken(errors=[FieldError(pointer="/slug", detail="Another product has this slug.")]) from error


async def lock(connection: Connection, product_id: UUID) -> ProductRecord | None:
    """The product, whose row is locked until the end of the transaction."""
    if not await connection.fetchval(_LOCK, product_id):
        return None
    return await _get(connection, product_id)


async def lock_by_handles(connection: Connection, handles: Sequence[str]) -> dict[str, ProductRecord]:
    """Locks the products that a product file names: each the one with exactly that handle.

    A product that no file has named yet is known by its slug, if the slug is exactly the handle, or by the handle that
    an export has made.
    """
    rows = await connection.fetchmany(_LOCK_IMPORTED, [(handle,) for handle in sorted(handles)])
    ids = {row["stated"]: row["id"] for row in rows}
    for handle in handles:
        made = None if handle in ids else split_handle(handle)
        if made and (product_id := await connection.fetchval(_LOCK_MADE, *made)):
            ids[handle] = product_id
    found = await connection.fetch(_PRODUCTS, list(ids.values())) if ids else ()
    records = {record.id: record for record in map(product_from_row, found)}
    return {handle: records[product_id] for handle, product_id in ids.items()}


async def set_handle(connection: Connection, product_id: UUID, handle: str) -> None:
    """Stores the name of a product in product files. It is not part of what is served."""
    await connection.execute(_SET_HANDLE, product_id, handle)


async def upsert_variants_of(connection: Connection, products: Sequence[tuple[ProductRecord, Sequence[str]]]) -> int:
    """Writes the variants of several products, each with their snapshots; returns how many were written."""
    rows = [(*_sale_columns(product), *_variant_columns(product), list(snapshots)) for product, snapshots in products]
    return len(await connection.fetchmany(_UPSERT_VARIANTS, rows))


async def upsert_variants(connection: Connection, product: ProductRecord, snapshots: Sequence[str]) -> set[str]:
    """Writes the variants of the product; returns the SKUs that were not written, because another product has them."""
    values = (*_sale_columns(product), *_variant_columns(product), list(snapshots))
    rows = await connection.fetch(_UPSERT_VARIANTS, *values)
    return set(product.skus) - {row["sku"] for row in rows}


async def free_variants(connection: Connection, product_id: UUID, skus: Sequence[str]) -> None:
    """Takes SKUs from products off sale. Their variants are kept apart, without them."""
    await connection.execute(_FREE_VARIANTS, product_id, list(skus))


async def replace_freed_variants(connection: Connection, product: ProductRecord, skus: Collection[str]) -> None:
    """Writes the variants whose SKUs other products have. The caller has written the others, which locks their SKUs."""
    await connection.execute(_DELETE_FREED, product.id)
    if skus:
        await connection.execute(_WRITE_FREED, product.id, *_variant_columns(product), list(skus))


async def keep_old_slug(connection: Connection, product_id: UUID, old: str, new: str) -> None:
    """Lets a product be found under the slug that it had."""
    await connection.execute(_FORGET_SLUG, new, product_id)
    await connection.execute(_REMEMBER_SLUG, old, product_id)


async def is_slug_in_use(connection: Connection, slug: str, product_id: UUID) -> bool:
    """Whether another active product has the slug."""
    return bool(await connection.fetchval(_SLUG_IN_USE, slug, product_id))


async def delete_variants(connection: Connection, product_id: UUID, skus: Sequence[str]) -> list[str]:
    """Deletes variants of the product; their stock rows stay. Returns the SKUs without those that others have taken."""
    return sorted(row["sku"] for row in await connection.fetch(_DELETE_VARIANTS, product_id, list(skus)))


async def find_sku_owners(connection: Connection, skus: Collection[str]) -> dict[str, SkuOwner]:
    """The products that have the SKUs now."""
    rows = await connection.fetch(_SKU_OWNERS, list(skus))
    return {row["sku"]: SkuOwner(row["id"], row["handle"]) for row in rows}


async def find_single_skus(connection: Connection, product_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    """The SKU of each product that has exactly one variant on sale."""
    rows = await connection.fetch(_SINGLE_SKUS, list(product_ids))
    return {row["product_id"]: row["sku"] for row in rows}


async def _get(connection: Connection, product_id: UUID) -> ProductRecord | None:
    row = await connection.fetchrow(_PRODUCT, product_id)
    return product_from_row(row) if row else None


def _columns(article: ProductRecord) -> tuple[Any, ...]:
    return (
        article.id,
        article.slug,
        article.name,
        article.description,
        article.category_id,
        list(article.tags),
        article.attributes,
        article.price,
        article.is_active,
        article.version,
        article.handle,
        list(article.sources),
        article.publish_at,
        article.vendor or "",
        article.tax_category,
        article.seo.title,
        article.seo.description,
        *column_values(
            search_columns(
                article.name,
                article.tags,
                article.description,
                article.skus,
                article.barcodes,
                article.vendor,
                article.attributes,
                [variant.options for variant in article.variants],
            )
        ),
    )


def _sale_columns(product: ProductRecord) -> tuple[Any, ...]:
    """The columns that a product's variants share."""
    return (product.id, product.is_active, product.publish_at, product.tax_category)


def _variant_columns(product: ProductRecord) -> tuple[list[Any], ...]:
    """The columns of all variants, each as a list: from the SKU to whether it is shipped."""
    variants = product.variants
    return (
        [variant.sku for variant in variants],
        [variant.options for variant in variants],
        [variant.price for variant in variants],
        [variant.compare_at_price for variant in variants],
        [variant.weight_grams for variant in variants],
        [variant.barcode for variant in variants],
        [variant.cost for variant in variants],
        [variant.requires_shipping for variant in variants],
    )


def _category_unknown() -> CategoryUnknown:
    return CategoryUnknown(errors=[FieldError(pointer="/category_id", detail="There is no category with this id.")])
