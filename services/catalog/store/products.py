"""The statements that write products and their variants."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from contracts.catalog import CategoryUnknown, SlugTaken
from contracts.failure import FieldError
from infra.database.postgres import Connection
from services.catalog.domain.product_records import ProductRecord, product_from_row
from services.catalog.domain.search_index import search_columns
from services.catalog.store.search_index import column_values

_INSERT = """
WITH one AS (
    INSERT INTO product (id, slug, name, description, category_id, tags, attributes, price, is_active, version, handle,
                         sources, created_at, updated_at, folded_name, name_key, tag_keys, terms, indexed_version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $19, $20, $13, $14, $15,
            product_terms($13, $16, $17, $18), $10)
    ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO product_document (product_id, document) SELECT id, $21 FROM one RETURNING product_id
"""
_UPDATE = """
WITH one AS (
    UPDATE product SET slug = $2, name = $3, description = $4, category_id = $5, tags = $6, attributes = $7, price = $8,
                       is_active = $9, version = $10, handle = $11, sources = $12, updated_at = $19,
                       folded_name = $13, name_key = $14, tag_keys = $15, terms = product_terms($13, $16, $17, $18),
                       indexed_version = $10
    WHERE id = $1 RETURNING id
)
UPDATE product_document SET document = $20 FROM one WHERE product_id = one.id
"""
_PRODUCT = """
SELECT p.id, p.slug, p.name, p.description, p.category_id, p.tags, p.attributes, p.is_active,
       p.created_at, p.updated_at, p.version, p.rating_average, p.rating_count, p.handle, p.sources,
       (SELECT jsonb_agg(jsonb_build_object('sku', v.sku, 'options', v.options, 'price', v.price, 'compare_at_price',
                         v.compare_at_price, 'weight_grams', v.weight_grams) ORDER BY v.position)
        FROM variant v WHERE v.product_id = p.id) AS variants,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('id', i.id, 'alt', i.alt) ORDER BY i.position), '[]')
        FROM image i WHERE i.product_id = p.id) AS images
FROM product p WHERE p.id = $1
"""
_LOCK = "SELECT 1 FROM product WHERE id = $1 FOR UPDATE"
_LOCK_IMPORTED = """
SELECT id FROM product WHERE handle = $1 OR (slug = $1 AND handle IS NULL)
ORDER BY (handle = $1) DESC NULLS LAST LIMIT 1 FOR UPDATE
"""
_UPSERT_VARIANTS = """
INSERT INTO variant (sku, product_id, position, options, price, compare_at_price, weight_grams, on_sale, card)
SELECT v.sku, $1, v.position, v.options, v.price, v.compare_at_price, v.weight_grams, $2, v.card
FROM unnest($3::text[], $4::jsonb[], $5::bigint[], $6::bigint[], $7::int[], $8::text[]) WITH ORDINALITY
    AS v (sku, options, price, compare_at_price, weight_grams, card, position)
ORDER BY v.sku
ON CONFLICT (sku) DO UPDATE SET
    position = excluded.position, options = excluded.options, price = excluded.price,
    compare_at_price = excluded.compare_at_price, weight_grams = excluded.weight_grams, on_sale = excluded.on_sale,
    card = excluded.card
WHERE variant.product_id = excluded.product_id
RETURNING sku
"""
_DELETE_VARIANTS = "DELETE FROM variant WHERE product_id = $1 AND sku = ANY($2)"
_SINGLE_SKUS = """
SELECT product_id, min(sku) AS sku FROM variant WHERE product_id = ANY($1) AND on_sale GROUP BY product_id
HAVING count(*) = 1
"""


async def insert(connection: Connection, product: ProductRecord, document: str) -> bool:
    """Whether the product was inserted; False when another product has its slug or its handle."""
    try:
        inserted_id = await connection.fetchval(
            _INSERT, *_columns(product), product.created_at, product.updated_at, document
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise _category_unknown() from error
    return inserted_id is not None


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


async def lock_by_handle(connection: Connection, handle: str) -> ProductRecord | None:
    """Locks the product that a product file names: the one with exactly that handle.

    A product that no file has named yet is known by its slug, if the slug is exactly the handle.
    """
    product_id = await connection.fetchval(_LOCK_IMPORTED, handle)
    return None if product_id is None else await _get(connection, product_id)


async def upsert_variants(connection: Connection, product: ProductRecord, snapshots: Sequence[str]) -> set[str]:
    """Writes the variants of the product; returns the SKUs that were not written, because another product has them."""
    variants = product.variants
    rows = await connection.fetch(
        _UPSERT_VARIANTS,
        product.id,
        product.is_active,
        list(product.skus),
        [variant.options for variant in variants],
        [variant.price for variant in variants],
        [variant.compare_at_price for variant in variants],
        [variant.weight_grams for variant in variants],
        list(snapshots),
    )
    return set(product.skus) - {row["sku"] for row in rows}


async def delete_variants(connection: Connection, product_id: UUID, skus: Sequence[str]) -> None:
    """Deletes variants of the product; their stock rows stay."""
    await connection.execute(_DELETE_VARIANTS, product_id, list(skus))


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
        *column_values(search_columns(article.name, article.tags, article.description, article.skus)),
    )


def _category_unknown() -> CategoryUnknown:
    return CategoryUnknown(errors=[FieldError(pointer="/category_id", detail="There is no category with this id.")])
