"""The statements that keep up the columns that are made from texts: of products for search, of categories for sorting.

Requests write them with the row. What they miss is in the indexes `product_to_search` and `category_to_index`: rows
that were written before the columns existed, or by an older release.
"""

from infra.database.postgres import Connection
from services.catalog.domain.folded_text import name_key
from services.catalog.domain.search_index import SearchColumns, search_columns

_STALE_PRODUCTS = """
SELECT p.id, p.version, p.name, p.tags, p.description,
       coalesce(p.vendor, p.attributes->>'Vendor') AS vendor, p.attributes,
       ARRAY(SELECT v.options FROM variant v WHERE v.product_id = p.id ORDER BY v.position) AS options,
       ARRAY(SELECT v.sku FROM variant v WHERE v.product_id = p.id) AS skus,
       ARRAY(SELECT v.barcode FROM variant v WHERE v.product_id = p.id AND v.barcode IS NOT NULL) AS barcodes
FROM product p WHERE p.search_version <> p.version ORDER BY p.id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_INDEX_PRODUCT = """
UPDATE product SET folded_name = $3, name_key = $4, tag_keys = $5, terms = product_words($3, $6, $9, $7, $8),
                   facet_ids = $10, indexed_version = $2, search_version = $2
WHERE id = $1 RETURNING add_search_terms($13, $10, $11, $12)
"""
_STALE_CATEGORIES = """
SELECT id, name FROM category WHERE keyed_name <> name ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_INDEX_CATEGORY = "UPDATE category SET name_key = $2, keyed_name = $3 WHERE id = $1"


def column_values(columns: SearchColumns) -> tuple[object, ...]:
    """The values of `folded_name, name_key, tag_keys`; the tags, the description and the exact terms of
    `product_words`, and its details; and those of `add_search_terms`: ids, names, values, and words.
    """
    values = columns.facet_values.values()
    return (
        columns.folded_name,
        columns.name_key,
        list(columns.tag_keys),
        columns.folded_tags,
        columns.folded_description,
        list(columns.exact_terms),
        columns.folded_details,
        list(columns.facet_values),
        [name for name, _ in values],
        [value for _, value in values],
        list(columns.words),
    )


async def index_products(connection: Connection, limit: int) -> int:
    """Indexes up to `limit` products that need it; returns how many."""
    rows = await connection.fetch(_STALE_PRODUCTS, limit)
    values = []
    for row in rows:
        texts = ("name", "tags", "description", "skus", "barcodes", "vendor", "attributes", "options")
        columns = search_columns(*(row[text] for text in texts))
        values.append((row["id"], row["version"], *column_values(columns)))
    await connection.executemany(_INDEX_PRODUCT, values)
    return len(rows)


async def index_categories(connection: Connection, limit: int) -> int:
    """Indexes up to `limit` categories that need it; returns how many."""
    rows = await connection.fetch(_STALE_CATEGORIES, limit)
    await connection.executemany(_INDEX_CATEGORY, [(row["id"], name_key(row["name"]), row["name"]) for row in rows])
    return len(rows)
