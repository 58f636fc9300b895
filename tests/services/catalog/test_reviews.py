"""Reviews: who may write them, how they are moderated, and what they make of a product's rating."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from contracts import catalog, headers, order, privacy
from contracts.catalog import AlreadyReviewed, NotPurchased, Product, Review
from contracts.failure import Fail, NotFound, PreconditionFailed
from contracts.identity import Identity
from contracts.order import OrderStatus
from contracts.payment import CardNumberRefused
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller, customer_identity

_INSERT = """
INSERT INTO review (id, product_id, user_id, order_id, rating, title, body, status, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, '', '', 'pending', now(), now())
"""
_MOVE_PRIOR = "UPDATE shop_rating SET prior = 1, prior_version = prior_version + 1"
_RANKS = """
SELECT id, rating_rank, (rating_sum - rating_count * prior) / (rating_count + 5) AS expected FROM product, shop_rating
WHERE rating_count > 0
"""
_RATING = "SELECT rating_sum, rating_count, rating_average, rating_rank FROM product WHERE id = $1"


@dataclass(frozen=True)
class ReviewClient:
    """Buys and reviews products as customers, and moderates reviews as an administrator."""

    client: CatalogClient
    connection: Any

    async def buy(self, customer: Identity, product: Product, status: OrderStatus = OrderStatus.PAID) -> UUID:
        """Orders the product and waits until the order is paid, or until it is cancelled because no money came."""
        method = "sim_ok" if status is OrderStatus.PAID else "sim_declined"
        items = [{"product_id": str(product.id), "quantity": 1}]
        body = {"items": items, "shipping_address": ADDRESS, "payment_method": method}
        placed = await self.client.edge(order.PLACE, body, identity=customer)

        async def is_reached() -> bool:
            found = await self.client.edge(order.GET, {"id": str(placed.id)}, identity=customer)
            assert found.status is status
            return True

        await eventually(is_reached)
        order_id: UUID = placed.id
        return order_id

    async def write(self, customer: Identity, product: Product, rating: int = 5, **more: Any) -> Review:
        body = {"id": str(product.id), "rating": rating, **more}
        review: Review = await self.client.edge(catalog.CREATE_REVIEW, body, identity=customer)
        return review

    async def insert(self, product: Product, rating: int) -> UUID:
        """A pending review of a new customer, without an order."""
        review_id = new_id()
        await self.connection.execute(_INSERT, review_id, product.id, new_id(), new_id(), rating)
        return review_id

    async def publish(self, review_id: UUID, **options: Any) -> Review:
        review: Review = await self.client.as_admin(catalog.PUBLISH_REVIEW, {"id": str(review_id)}, **options)
        return review

    async def reject(self, review_id: UUID) -> Review:
        review: Review = await self.client.as_admin(
            catalog.REJECT_REVIEW, {"id": str(review_id), "reason": "off topic"}
        )
        return review

    async def rating(self, product: Product) -> tuple[float, int]:
        """The average and the count, as the product shows them."""
        found = await self.client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
        return found.rating.average, found.rating.count

    async def version(self, product: Product) -> str:
        """The version that `If-Match` compares."""
        _, found = await self.client.edge.raw(catalog.GET_PRODUCT, {"key": str(product.id)})
        return found[headers.VERSION]

    async def all_are_ranked(self) -> bool:
        """Whether each product has the rank that its reviews and the shop's average give it."""
        found = await self.connection.fetch(_RANKS)
        assert {row["id"]: row["rating_rank"] for row in found} == {row["id"]: row["expected"] for row in found}
        return True

    async def listed(self, product: Product, **params: Any) -> Any:
        return await self.client.edge(catalog.LIST_PRODUCT_REVIEWS, {"id": str(product.id), **params})


@pytest.fixture(scope="session")
async def reviews(client: CatalogClient, database: Callable[[str], Awaitable[Any]]) -> ReviewClient:
    return ReviewClient(client, await database("catalog"))


@pytest.fixture
async def product(new_product: Callable[..., Awaitable[Product]]) -> Product:
    return await new_product(stock=10)


async def test_only_a_customer_with_a_paid_order_reviews_a_product_once(
    reviews: ReviewClient, product: Product, new_product: Callable[..., Awaitable[Product]]
) -> None:
    buyer, other = customer_identity(), customer_identity()
    with pytest.raises(NotPurchased):
        await reviews.write(buyer, product)
    await reviews.buy(buyer, product, OrderStatus.CANCELLED)
    with pytest.raises(NotPurchased):
        await reviews.write(buyer, product)
    order_id = await reviews.buy(buyer, product)
    with pytest.raises(NotPurchased):
        await reviews.write(other, product)
    with pytest.raises(NotPurchased):
        await reviews.write(buyer, await new_product())
    outcomes = await asyncio.gather(*(reviews.write(buyer, product) for _ in range(4)), return_exceptions=True)
    written = [one for one in outcomes if isinstance(one, Review)]
    assert [type(one) for one in outcomes if one not in written] == [AlreadyReviewed] * 3
    assert (written[0].user_id, written[0].order_id, written[0].status) == (buyer.user_id, order_id, "pending")
    with pytest.raises(AlreadyReviewed, match=f"/reviews/{written[0].id}"):
        await reviews.write(buyer, product)


async def test_a_review_is_shown_and_counted_only_while_it_is_published(
    reviews: ReviewClient, product: Product
) -> None:
    buyer = customer_identity()
    await reviews.buy(buyer, product)
    review = await reviews.write(buyer, product, 4, title=" Warm light ", body="<b>Lights</b>\nthe room.")
    assert (await reviews.listed(product)).items == []
    assert await reviews.rating(product) == (0, 0)

    before = await reviews.version(product)
    await reviews.publish(review.id)
    await reviews.publish(review.id)  # which counts it once
    await reviews.client.as_admin(catalog.ANSWER_REVIEW, {"id": str(review.id), "answer": "Thank you!"})
    page = await reviews.listed(product)
    assert (page.rating.average, page.rating.count) == (4, 1)
    assert [(one.title, one.body, one.answer) for one in page.items] == [
        ("Warm light", "<b>Lights</b>\nthe room.", "Thank you!")
    ]
    assert await reviews.rating(product) == (4, 1)
    assert await reviews.version(product) == before, "an administrator's edit goes on"

    own = {"id": str(review.id), "rating": 2}
    changed = await reviews.client.edge(catalog.REPLACE_REVIEW, own, identity=buyer)
    assert (changed.status, changed.title, changed.rating) == ("pending", "", 2)
    assert (await reviews.listed(product)).items == []
    assert await reviews.rating(product) == (0, 0)

    await reviews.publish(review.id)
    assert await reviews.rating(product) == (2, 1)
    assert (await reviews.reject(review.id)).reason == "off topic"
    assert await reviews.rating(product) == (0, 0)
    assert (await reviews.publish(review.id)).reason is None
    await reviews.client.edge(catalog.DELETE_REVIEW, {"id": str(review.id)}, identity=buyer)
    assert await reviews.rating(product) == (0, 0)
    assert (await reviews.write(buyer, product)).id != review.id


async def test_a_review_belongs_to_its_author(reviews: ReviewClient, product: Product) -> None:
    author, other = customer_identity(), customer_identity()
    await reviews.buy(author, product)
    review = {"id": str((await reviews.write(author, product)).id)}
    for operation, body in (
        (catalog.GET_REVIEW, review),
        (catalog.REPLACE_REVIEW, {**review, "rating": 1}),
        (catalog.DELETE_REVIEW, review),
    ):
        with pytest.raises(NotFound):
            await reviews.client.edge(operation, body, identity=other)
    assert (await reviews.client.edge(catalog.GET_REVIEW, review, identity=author)).rating == 5
    assert (await reviews.client.as_admin(catalog.GET_REVIEW, review)).rating == 5
    with pytest.raises(NotFound):
        await reviews.client.as_admin(catalog.DELETE_REVIEW, review)


async def test_an_administrator_publishes_the_text_that_was_read(reviews: ReviewClient, product: Product) -> None:
    """The author may change it between the reading and the publication."""
    author = customer_identity()
    await reviews.buy(author, product)
    review = await reviews.write(author, product)
    _, read = await reviews.client.edge.raw(catalog.GET_REVIEW, {"id": str(review.id)}, identity=reviews.client.admin)
    version = int(read[headers.VERSION])
    await reviews.client.edge(
        catalog.REPLACE_REVIEW, {"id": str(review.id), "rating": 1, "body": "spam"}, identity=author
    )
    with pytest.raises(PreconditionFailed):
        await reviews.publish(review.id, if_match=version)
    assert (await reviews.publish(review.id, if_match=version + 1)).body == "spam"


async def test_a_card_number_is_refused(reviews: ReviewClient, product: Product) -> None:
    for field in ("title", "body"):
        with pytest.raises(CardNumberRefused) as refused:
            await reviews.write(customer_identity(), product, **{field: "paid with 4242 4242 4242 4242"})
        assert [error.pointer for error in refused.value.errors] == [f"/{field}"]
    with pytest.raises(CardNumberRefused):
        await reviews.client.as_admin(
            catalog.ANSWER_REVIEW, {"id": str(await reviews.insert(product, 1)), "answer": "Is 4242424242424242 yours?"}
        )


async def test_reviews_of_a_product_off_sale_are_hidden(reviews: ReviewClient, product: Product) -> None:
    await reviews.client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)})
    for attempt in (reviews.listed(product), reviews.write(customer_identity(), product)):
        with pytest.raises(NotFound):
            await attempt
    listed = await reviews.client.as_admin(catalog.LIST_PRODUCT_REVIEWS, {"id": str(product.id)})
    assert listed.items == []


async def test_pages_of_reviews_are_stable(reviews: ReviewClient, product: Product) -> None:
    ids = [await reviews.insert(product, 1 + number % 5) for number in range(5)]
    for review_id in ids:
        await reviews.publish(review_id)
    seen: list[UUID] = []
    after = None
    while True:
        page = await reviews.listed(product, limit=2, after=after)
        seen += [one.id for one in page.items]
        await reviews.publish(await reviews.insert(product, 3))
        if (after := page.next) is None:
            break
    assert seen == ids[::-1]
    queue = await reviews.client.as_admin(catalog.LIST_REVIEWS, {"status": "published", "limit": 3})
    assert {one.status for one in queue.items} == {"published"}
    assert len((await reviews.client.as_admin(catalog.LIST_REVIEWS, {"limit": 100})).items) >= len(ids)


async def test_the_rating_is_exact_when_many_change_it_at_once(reviews: ReviewClient, product: Product) -> None:
    chosen = random.Random(7)
    stars = {await reviews.insert(product, rating): rating for rating in chosen.choices(range(1, 6), k=12)}
    outcome = await asyncio.gather(
        *(reviews.publish(one) for one in stars),
        *(chosen.choice((reviews.publish, reviews.reject))(one) for one in stars),
        return_exceptions=True,
    )
    assert not [one for one in outcome if isinstance(one, BaseException) and not isinstance(one, Fail)]
    published = await reviews.connection.fetch(
        "SELECT id FROM review WHERE product_id = $1 AND status = 'published'", product.id
    )
    counted = [stars[row["id"]] for row in published]
    found = await reviews.connection.fetchrow(_RATING, product.id)
    assert (found["rating_sum"], found["rating_count"]) == (sum(counted), len(counted))
    assert found["rating_average"] == sum(counted) / len(counted)


async def test_lists_and_search_follow_the_rating(
    reviews: ReviewClient, new_product: Callable[..., Awaitable[Product]]
) -> None:
    """One review with five stars is not better than twenty with four; a product without reviews is in between."""
    client, word = reviews.client, f"w{new_id().hex}"
    category = await client.as_admin(catalog.CREATE_CATEGORY, {"name": word})
    wanted = {"poor": [1] * 6, "unrated": [], "once": [5], "often": [5, 4] * 10}
    for name, stars in wanted.items():
        product = await new_product(name=f"{name} {word}", category_id=str(category.id))
        for rating in stars:
            await reviews.publish(await reviews.insert(product, rating))
    await reviews.connection.execute(_MOVE_PRIOR)
    await reviews.publish(await reviews.insert(product, 5))
    await eventually(reviews.all_are_ranked)
    by_rank = await client.edge(catalog.LIST_PRODUCTS, {"category": category.slug, "sort": "rating"})
    names = [one.name.split()[0] for one in by_rank.items]
    assert names.index("often") < names.index("unrated") < names.index("poor")
    assert {one.name.split()[0]: one.rating.count for one in by_rank.items} == {
        name: len(stars) + (name == "often") for name, stars in wanted.items()
    }
    found = await client.edge(catalog.SEARCH_PRODUCTS, {"q": word, "min_rating": 4.5, "sort": "rating"})
    assert sorted(one.name.split()[0] for one in found.items) == ["often", "once"]
    everything = await client.edge(catalog.SEARCH_PRODUCTS, {"q": word})
    assert [(one.value, one.count) for one in everything.facets["rating"]] == [("5", 1), ("4", 2), ("1", 3)]


async def test_an_erased_customer_leaves_only_the_rating(
    reviews: ReviewClient, product: Product, as_service: Callable[[str], Awaitable[RpcCaller]]
) -> None:
    author, user = customer_identity(), await as_service("user")
    await reviews.buy(author, product)
    review = await reviews.write(author, product, 3, title="Ada was here", body="ada@example.com")
    await reviews.publish(review.id, key=new_id().hex)
    await reviews.client.as_admin(catalog.ANSWER_REVIEW, {"id": str(review.id), "answer": "Dear Ada!"})
    exported = await user(privacy.EXPORT["catalog"], {"user_id": str(author.user_id), "emails": []})
    assert [(one.id, one.body) for one in exported.reviews] == [(review.id, "ada@example.com")]

    for _ in range(2):
        await user(privacy.ERASE["catalog"], {"user_id": str(author.user_id)})
    left = (await reviews.listed(product)).items[0]
    assert (left.rating, left.title, left.body, left.answer) == (3, "", "", None)
    assert (await reviews.client.as_admin(catalog.GET_REVIEW, {"id": str(review.id)})).user_id is None
    assert await reviews.rating(product) == (3, 1)
    needle = str(author.user_id).encode()
    assert not await reviews.connection.fetchval(
        "SELECT count(*) FROM idempotency WHERE position($1 in answer) > 0", needle
    )
