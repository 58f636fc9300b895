"""Fills a catalog with many products in seconds: `await fill_catalog(connection, 100_000)`.

The rows are those that the service would write: documents, search columns, stock with its movements. Each product has
one to five variants, three on average, so 100,000 products have 300,000. Words, categories and tags are skewed as in a
real shop: a few are in every fifth product, most are rare. The same number of products always gives the same rows.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product as combinations
from typing import Any
from uuid import UUID

from services.catalog.domain.facet_ids import ValueKind, facet_id
from services.catalog.domain.folded_text import name_key
from services.catalog.domain.slugs import slugify

CURRENCY = "USD"
ROOTS = ("Furniture", "Lighting", "Kitchen", "Textiles", "Garden", "Storage", "Tools", "Toys")
ROOMS = ("Living room", "Bedroom", "Office", "Bathroom", "Hallway", "Terrace")
STYLES = ("Classic", "Modern", "Rustic", "Nordic", "Industrial", "Vintage")
_VOCABULARY = {
    "adjective": "Small,Large,Round,Folding,Painted,Woven,Carved,Hanging,Portable,Stackable,Quilted,Glazed,Slim,"
    "Adjustable,Heavy,Ribbed,Polished,Embroidered,Weatherproof,Extendable",
    "material": "Oak,Brass,Linen,Steel,Cotton,Walnut,Ceramic,Copper,Wool,Glass,Bamboo,Marble,Leather,Silk,Rattan,"
    "Velvet,Concrete,Porcelain,Cork,Felt",
    "noun": "Table,Lamp,Chair,Shelf,Bowl,Rug,Desk,Cushion,Mirror,Basket,Vase,Stool,Bench,Blanket,Cabinet,Teapot,"
    "Curtain,Candle Holder,Tray,Clock,Wardrobe,Plant Pot,Lantern,Towel,Dresser,Coat Rack,Hammock,Bookend,Footrest,"
    "Planter,Chandelier,Doormat,Jug,Sconce,Trivet,Colander,Birdhouse,Easel,Abacus,Weathervane",
    "color": "black,white,grey,natural,blue,green,red,yellow,pink,terracotta,turquoise,burgundy",
    "occasion": "new,gift,outdoor,handmade,bestseller,recycled,wedding,christmas,fairtrade,limited",
    "syllable": "ka,lo,mi,ra,ven,to,sol,bri,na,del,fur,ost,hel,qui,zan",
}
ADJECTIVES, MATERIALS, NOUNS, COLORS, OCCASIONS, SYLLABLES = (tuple(words.split(",")) for words in _VOCABULARY.values())
"""The most frequent first: `Table`, `Oak` and `black` are in every fifth product, the last ones in few."""
SIZES = ("S", "M", "L", "XL", "XXL")
SENTENCES = (
    "A quiet piece for every room and every season",
    "Made by hand in a small family workshop",
    "The surface is easy to clean with a damp cloth",
    "Delivered flat with all tools for assembly",
    "The wood comes from forests that are managed with care",
    "Goes well with a brass lamp or a linen cushion",
    "Strong enough for daily use in a busy kitchen",
    "Designed together with a studio from Copenhagen",
    "Each one differs a little in colour and grain",
    "Stands firmly on an uneven floor",
    "Tested for children from three years",
    "The cover can be removed and washed at thirty degrees",
    "Suited for the terrace when the weather is dry",
    "With felt pads that protect a wooden floor",
    "Takes an ordinary bulb that is not included",
    "A generous gift for a new home",
    "Can be repaired, with spare parts for ten years",
    "Woven from the wool of highland sheep",
)
MODELS = tuple("".join(parts).capitalize() for parts in combinations(SYLLABLES, repeat=3))
"""The invented last word of each name: 3,375 of them, so that each is in few products."""
_SPACE_WEIGHT = name_key("A A")[2:4]

_SETTINGS = """
SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = off;
SET LOCAL work_mem = '256MB'; SET LOCAL maintenance_work_mem = '256MB'; SET LOCAL client_min_messages = 'warning'
"""
_CREATE_WORDS = """
CREATE TEMPORARY TABLE word (
    kind text, position integer, word text, primary_weights bytea, tertiary_weights bytea, PRIMARY KEY (kind, position)
)
"""
_CREATE_CHOSEN_CATEGORIES = "CREATE TEMPORARY TABLE chosen_category (position integer PRIMARY KEY, id uuid)"
_INSERT_CATEGORY = """
INSERT INTO category (id, slug, name, parent_id, name_key, keyed_name) VALUES ($1, $2, $3, $4, $5, $3)
"""
_GENERATE = """
CREATE TEMPORARY TABLE generated AS
WITH seeded AS MATERIALIZED (SELECT setseed(0.42)),
drawn AS MATERIALIZED (
    SELECT n,
           1 + floor(20 * power(random(), 2))::int AS adjective, 1 + floor(20 * power(random(), 2.5))::int AS material,
           1 + floor(40 * power(random(), 2.5))::int AS noun, 1 + floor({models} * random())::int AS model,
           1 + floor(12 * power(random(), 2))::int AS color, 1 + floor(10 * power(random(), 2))::int AS occasion,
           1 + floor(18 * power(random(), 1.5))::int AS first_sentence,
           1 + floor(18 * random())::int AS last_sentence,
           1 + floor({categories} * power(random(), 1.7))::int AS category,
           (5 + floor(power(random(), 3) * 800)::bigint) * 100 - 1 AS price,
           CASE WHEN random() < 0.6 THEN 1 + floor(40 * power(random(), 3))::int ELSE 0 END AS rating_count,
           round((3 + 2 * random())::numeric, 1)::float8 AS rating
    FROM seeded, generate_series(1, {products}) AS n
)
SELECT n, id, name, lower(replace(name, ' ', '-')) || '-' || n AS slug, name_key, description,
       lower(name) AS folded_name,
       category_id, ARRAY[material, color, occasion] AS tags, price, n % 50 <> 0 AS is_active, material,
       CASE WHEN rating_count > 0 THEN rating ELSE 0 END AS rating_average, rating_count, 1 + n % 5 AS variants,
       timestamptz '2025-01-01' + n * interval '1 minute' AS created_at
FROM (
    SELECT d.n, d.price, d.rating, d.rating_count, c.id AS category_id,
           lower(m.word) AS material, color.word AS color, o.word AS occasion,
           (lpad(to_hex(1735689600000 + d.n * 60000::bigint), 12, '0') || '70008000'
               || lpad(to_hex(d.n), 12, '0'))::uuid AS id,
           a.word || ' ' || m.word || ' ' || u.word || ' ' || l.word AS name,
           a.primary_weights || $1 || m.primary_weights || $1 || u.primary_weights || $1 || l.primary_weights
               || '\\x00000000' || a.tertiary_weights || '\\x0002' || m.tertiary_weights || '\\x0002'
               || u.tertiary_weights || '\\x00020008' AS name_key,
           '<p>' || s.word || '. ' || t.word || '.</p>' AS description
    FROM drawn d
    JOIN word a ON (a.kind, a.position) = ('adjective', d.adjective)
    JOIN word m ON (m.kind, m.position) = ('material', d.material)
    JOIN word u ON (u.kind, u.position) = ('noun', d.noun)
    JOIN word l ON (l.kind, l.position) = ('model', d.model)
    JOIN word color ON (color.kind, color.position) = ('color', d.color)
    JOIN word o ON (o.kind, o.position) = ('occasion', d.occasion)
    JOIN word s ON (s.kind, s.position) = ('sentence', d.first_sentence)
    JOIN word t ON (t.kind, t.position) = ('sentence', d.last_sentence)
    LEFT JOIN chosen_category c ON c.position = d.category
) named
"""
_GENERATE_VARIANTS = f"""
CREATE TEMPORARY TABLE generated_variant AS
SELECT g.n, g.id AS product_id, position, 'P' || lpad(g.n::text, 6, '0') || '-' || position AS sku,
       g.price + (position - 1) * 500 AS price, 200 + (g.n * 7 + position * 50) % 9000 AS weight_grams,
       CASE WHEN (g.n * 31 + position) % 9 = 0 OR g.n % 8 = 0 THEN 0 ELSE 1 + (g.n * 17 + position * 5) % 200 END
           AS units,
       g.is_active, g.name, (ARRAY{list(SIZES)})[position] AS size,
       '{{"Size":"' || (ARRAY{list(SIZES)})[position] || '"}}' AS options,
       '{{"amount":' || g.price + (position - 1) * 500 || ',"currency":"{CURRENCY}"}}' AS price_json
FROM generated g, generate_series(1, g.variants) AS position
"""  # noqa: S608 - constants
_INSERT_PRODUCTS = """
INSERT INTO product (id, slug, name, description, category_id, tags, attributes, price, is_active, rating_average,
                     rating_count, rating_rank, version, sources, created_at, updated_at, folded_name, name_key,
                     tag_keys, terms, facet_ids, indexed_version, search_version)
SELECT g.id, g.slug, g.name, g.description, g.category_id, g.tags, jsonb_build_object('material', g.material), g.price,
       g.is_active, g.rating_average, g.rating_count, (g.rating_average - 4) * g.rating_count / (g.rating_count + 5),
       1, '[]', g.created_at, g.created_at, g.folded_name, g.name_key,
       g.tags, product_words(g.folded_name, spaced(g.tags), 'material ' || g.material || ' ' || v.sizes,
                             lower(g.description), ARRAY['name=' || g.folded_name] || v.skus),
       ARRAY[t.id, color.id, occasion.id, m.id] || v.ids, 1, 1
FROM generated g
JOIN (
    SELECT n, array_agg('sku=' || lower(sku)) AS skus, string_agg(lower(s.value), ' ' ORDER BY position) AS sizes,
           array_agg(s.id ORDER BY position) AS ids
    FROM generated_variant JOIN generated_facet_value s ON (s.name, s.value) = ('Size', size) GROUP BY n
) v ON v.n = g.n
JOIN generated_facet_value m ON (m.name, m.value) = ('material', g.material)
JOIN generated_facet_value t ON (t.name, t.value) = ('', g.material)
JOIN generated_facet_value color ON (color.name, color.value) = ('', g.tags[2])
JOIN generated_facet_value occasion ON (occasion.name, occasion.value) = ('', g.tags[3])
ORDER BY g.n
"""
_CREATE_FACET_VALUES = "CREATE TEMPORARY TABLE generated_facet_value (id bigint, name text, value text)"
_INSERT_FACET_VALUES = """
INSERT INTO facet_value (id, name, value)
SELECT * FROM generated_facet_value EXCEPT SELECT id, name, value FROM facet_value
"""
_INSERT_WORDS = "SELECT add_search_terms($1, '{}', '{}', '{}')"
_INSERT_DOCUMENTS = f"""
INSERT INTO product_document (product_id, document)
SELECT g.id, '{{"id":"' || g.id || '","slug":"' || g.slug || '","name":"' || g.name
    || '","description":"' || g.description || '","tags":["' || array_to_string(g.tags, '","')
    || '"],"attributes":{{"material":"' || g.material || '"}},"price":{{"amount":' || g.price
    || ',"currency":"{CURRENCY}"}},"images":[],"rating":{{"average":'
    || to_char(g.rating_average, 'FM0.0') || ',"count":' || g.rating_count || '}},"is_active":' || g.is_active
    || ',"created_at":"' || at || '","updated_at":"' || at || '","publish_at":null'
    || ',"vendor":null,"tax_category":"standard","seo":{{"title":null,"description":null}},"category":%s,"variants":['
    || v.json || ']}}'
FROM (SELECT *, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at FROM generated) g
JOIN (
    SELECT n, string_agg('{{"sku":"' || sku || '","options":' || options || ',"price":' || price_json
        || ',"compare_at_price":null,"weight_grams":' || weight_grams
        || ',"barcode":null,"requires_shipping":true,"available":%s}}', ',' ORDER BY position) AS json
    FROM generated_variant GROUP BY n
) v ON v.n = g.n
"""  # noqa: S608 - constants
_INSERT_VARIANTS = """
INSERT INTO variant (sku, product_id, position, options, price, weight_grams, on_sale, card)
SELECT sku, product_id, position, options::jsonb, price, weight_grams, is_active,
       '"sku":"' || sku || '","product_id":"' || product_id || '","name":"' || name || '","options":' || options
       || ',"unit_price":' || price_json
FROM generated_variant
"""
_INSERT_STOCK = """
INSERT INTO stock (sku, product_id, position, on_hand) SELECT sku, product_id, position, units FROM generated_variant
"""
_INSERT_MOVEMENTS = """
INSERT INTO stock_movement (sku, kind, quantity, reason)
SELECT sku, 'adjusted', units, 'generated' FROM generated_variant WHERE units <> 0
"""
_INDEXES = """
SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS drop, pg_get_indexdef(i.indexrelid) AS create
FROM pg_index i WHERE i.indrelid = ANY($1::regclass[])
    AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))
"""
_FOREIGN_KEYS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname) AS drop,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
           AS create
FROM pg_constraint c WHERE c.conrelid = ANY($1::regclass[]) AND c.contype = 'f'
"""
_TABLES = ("product", "product_document", "variant", "stock", "stock_movement")
_DROP = "DROP TABLE generated_facet_value, generated_variant, generated, chosen_category, word"
_COUNT_VARIANTS = "SELECT count(*) FROM generated_variant"


@dataclass(frozen=True, slots=True)
class GeneratedCatalog:
    """What there is to ask for, beside the words above."""

    products: int
    variants: int
    category_slugs: Sequence[str]
    """Of all three levels: those without a parent first."""

    def sku(self, product: int, position: int = 1) -> str:
        """A SKU of the product of that number, from 1; it has `1 + product % 5` variants."""
        return f"P{product:06}-{position}"


async def fill_catalog(connection: Any, products: int) -> GeneratedCatalog:
    """Writes the products with all that belongs to them in one transaction, and updates the planner's statistics."""
    categories = list(_categories())
    async with connection.transaction():
        await connection.execute(_SETTINGS)
        await connection.execute(_CREATE_WORDS)
        await connection.copy_records_to_table("word", records=list(_words()))
        await connection.executemany(_INSERT_CATEGORY, [(*row, name_key(row[2])) for row in categories])
        await connection.execute(_CREATE_CHOSEN_CATEGORIES)
        chosen = [row[0] for row in reversed(categories) if row[3] is not None]
        await connection.copy_records_to_table("chosen_category", records=list(enumerate(chosen, 1)))
        await connection.execute("ANALYZE word, chosen_category")
        generate = _GENERATE.format(products=products, models=len(MODELS), categories=len(chosen) * 50 // 49)
        await connection.execute(generate.replace("$1", f"'\\x{_SPACE_WEIGHT.hex()}'"))
        await connection.execute(_GENERATE_VARIANTS)
        await connection.execute("ANALYZE generated, generated_variant")
        async with _indexes_made_afterwards(connection):
            await connection.execute(_CREATE_FACET_VALUES)
            await connection.copy_records_to_table("generated_facet_value", records=list(_facet_values()))
            await connection.execute(_INSERT_FACET_VALUES)
            await connection.execute("ANALYZE generated_facet_value")
            for statement in (_INSERT_PRODUCTS, _INSERT_DOCUMENTS, _INSERT_VARIANTS, _INSERT_STOCK, _INSERT_MOVEMENTS):
                await connection.execute(statement)
        vocabulary = (ADJECTIVES, MATERIALS, NOUNS, MODELS, COLORS, OCCASIONS)
        words = {word for words in vocabulary for text in words for word in text.lower().split()}
        await connection.execute(_INSERT_WORDS, sorted(words))
        variants = await connection.fetchval(_COUNT_VARIANTS)
        await connection.execute(_DROP)
    await connection.execute("SET statement_timeout = 0")
    await connection.execute(f"VACUUM ANALYZE category, facet_value, search_word, search_deletion, {','.join(_TABLES)}")
    return GeneratedCatalog(products, variants, [row[1] for row in categories])


@asynccontextmanager
async def _indexes_made_afterwards(connection: Any) -> AsyncIterator[None]:
    """Drops indexes and foreign keys and makes them again at the end, which takes a third of the time for many rows."""
    dropped = [row for query in (_FOREIGN_KEYS, _INDEXES) for row in await connection.fetch(query, _TABLES)]
    for row in dropped:
        await connection.execute(row["drop"])
    yield
    for row in reversed(dropped):
        await connection.execute(row["create"])


def _words() -> Iterator[tuple[str, int, str, bytes, bytes]]:
    """Words by kind, with what each adds to the sort key of a name: its weights of the first and the third level."""
    for kind, words in (
        ("adjective", ADJECTIVES),
        ("material", MATERIALS),
        ("noun", NOUNS),
        ("model", MODELS),
        ("color", COLORS),
        ("occasion", OCCASIONS),
        ("sentence", SENTENCES),
    ):
        for position, word in enumerate(words, 1):
            primary, tertiary = name_key(f"{word}A").split(bytes(4))  # English words have no second level
            yield kind, position, word, primary[:-2], tertiary[:-2]


def _facet_values() -> Iterator[tuple[int, str, str]]:
    """The id, the name and the value of each tag, attribute and option."""
    for tag in (*map(str.lower, MATERIALS), *COLORS, *OCCASIONS):
        yield facet_id(ValueKind.TAG, "", tag), "", tag
    for material in map(str.lower, MATERIALS):
        yield facet_id(ValueKind.ATTRIBUTE, "material", material), "material", material
    for size in SIZES:
        yield facet_id(ValueKind.OPTION, "Size", size), "Size", size


def _categories() -> Iterator[tuple[UUID, str, str, UUID | None]]:
    """Id, slug, name and parent of each category: 8 at the top, 6 below each, 6 below each of those."""
    numbers = iter(range(1, 10_000))

    def category(name: str, parent: UUID | None) -> tuple[UUID, str, str, UUID | None]:
        return UUID(int=(0x0190 << 112) + (7 << 76) + (8 << 60) + next(numbers)), slugify(name), name, parent

    roots = [category(root, None) for root in ROOTS]
    branches = [category(f"{part} {root[2].lower()}", root[0]) for root in roots for part in ROOMS]
    yield from roots
    yield from branches
    yield from (category(f"{style} {branch[2].lower()}", branch[0]) for branch in branches for style in STYLES)
