"""The ratings of products: sums of their published reviews, and the rank by which lists are sorted.

The rank is `(sum + 5 * prior) / (count + 5) - prior`, where the prior is the average of all published reviews of the
shop. A change of it would change the rank of every product that has reviews, so it moves in steps of 0.05 stars, and
the rating ranker follows in batches. A product without reviews has the rank 0 with any prior.
"""

from dataclasses import dataclass
from uuid import UUID

from contracts.catalog import ProductRating
from infra.database.postgres import Connection
from services.catalog.domain.ratings import RatingChange, move_prior
from services.catalog.store.product_documents import ON_SALE

_ADD_TO_SHOP = """
UPDATE shop_rating SET sum = sum + $1, count = count + $2 RETURNING sum, count, prior, prior_version
"""
_MOVE_PRIOR = "UPDATE shop_rating SET prior = $1, prior_version = prior_version + 1 RETURNING prior, prior_version"
_ADD = """
UPDATE product SET
    rating_sum = rating_sum + $2, rating_count = rating_count + $3,
    rating_average = coalesce((rating_sum + $2)::float8 / nullif(rating_count + $3, 0), 0),
    rating_rank = (rating_sum + $2 - (rating_count + $3) * $4::float8) / (rating_count + $3 + 5), prior_version = $5
WHERE id = $1
"""
_PRIOR = "SELECT prior, prior_version FROM shop_rating"
_RANK = """
UPDATE product SET
    rating_rank = (rating_sum - rating_count * $1::float8) / (rating_count + 5), prior_version = $2
WHERE id = ANY (ARRAY(
    SELECT id FROM product WHERE rating_count > 0 AND prior_version < $2 ORDER BY prior_version LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
))
"""
_FIND = f"SELECT {ON_SALE} AS is_on_sale, p.rating_average, p.rating_count FROM product p WHERE p.id = $1"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class RatedProduct:
    """The rating of a product, and whether the product is on sale."""

    is_on_sale: bool
    rating: ProductRating


async def add(connection: Connection, change: RatingChange) -> None:
    """Changes the sums of the shop, whose row stays locked, and those of the product, and ranks the product."""
    shop = await connection.fetchrow(_ADD_TO_SHOP, change.sum, change.count)
    assert shop is not None, "the migration has inserted the row"
    prior = move_prior(shop["prior"], shop["sum"], shop["count"])
    if prior != shop["prior"]:
        shop = await connection.fetchrow(_MOVE_PRIOR, prior)
        assert shop is not None, "it is locked"
    await connection.execute(_ADD, change.product_id, change.sum, change.count, prior, shop["prior_version"])


async def rank_products(connection: Connection, limit: int) -> bool:
    """Ranks products whose rank was computed with an earlier prior. Returns whether there may be more."""
    prior = await connection.fetchrow(_PRIOR)
    assert prior is not None, "the migration has inserted the row"
    command_tag: str = await connection.execute(_RANK, prior["prior"], prior["prior_version"], limit)
    return command_tag == f"UPDATE {limit}"


async def find(connection: Connection, product_id: UUID) -> RatedProduct | None:
    """The product's rating."""
    row = await connection.fetchrow(_FIND, product_id)
    if row is None:
        return None
    return RatedProduct(row["is_on_sale"], ProductRating(average=row["rating_average"], count=row["rating_count"]))
