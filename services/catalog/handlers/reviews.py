"""Reviews of products: customers write them, administrators publish, reject and answer them."""

from typing import Any

from contracts.catalog import (
    AlreadyReviewed,
    AnswerReview,
    CreateReview,
    ListProductReviews,
    ListReviews,
    NotPurchased,
    ProductReviewList,
    PublishedReview,
    RejectReview,
    ReplaceReview,
    Review,
    ReviewRef,
    ReviewStatus,
)
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.model import Empty, ListPage
from contracts.order import FIND_PURCHASE, PurchaseQuery
from infra.database.postgres import Connection, Transaction
from infra.foundation.ids import new_id, now
from infra.foundation.pagination import decode_id_cursor, paginate
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.ratings import rating_change
from services.catalog.domain.reviews import (
    ReviewRecord,
    new_review,
    refuse_card_numbers,
    replaced,
    require_author,
    require_version,
)
from services.catalog.store import ratings, reviews
from services.catalog.store.ratings import RatedProduct

ModerationRequest = Request[ReviewRef] | Request[RejectReview] | Request[AnswerReview]


async def list_product_reviews(deps: CatalogDeps, request: Request[ListProductReviews]) -> ProductReviewList:
    """Lists the published reviews of a product, the newest first, with its rating."""
    body = request.body
    before = decode_id_cursor(body.after)
    async with deps.db.connection() as connection:
        product = await _find_product(connection, request)
        found = await reviews.list_published(connection, body.id, before, body.limit + 1)
    page, following = paginate(found, body.limit)
    shown = [PublishedReview(**review.model_dump(include=set(PublishedReview.model_fields))) for review in page]
    return ProductReviewList(items=shown, next=following, rating=product.rating)


async def create_review(deps: CatalogDeps, request: Request[CreateReview]) -> Reply[Review]:
    """Stores a review of a product that the customer has bought, as order tells. Its text is not public yet."""
    body, user_id = request.body, request.user.user_id
    refuse_card_numbers(title=body.title, body=body.body)
    async with deps.db.connection() as connection:
        await _find_product(connection, request)
    purchase = await deps.rpc.request(FIND_PURCHASE, PurchaseQuery(user_id=user_id, product_id=body.id))
    if purchase.order_id is None:
        raise NotPurchased
    record = new_review(body, new_id(), user_id, purchase.order_id, now())
    async with deps.db.transaction(request) as tx:
        if not await reviews.insert(tx.connection, record):
            existing_id = await reviews.find_of_customer(tx.connection, user_id, body.id)
            raise AlreadyReviewed(f"You have reviewed this product already. Change that review: /reviews/{existing_id}")
        return tx.reply(record.review, version=record.version)


async def list_reviews(deps: CatalogDeps, request: Request[ListReviews]) -> ListPage[Review]:
    """Lists reviews for moderation, the newest first."""
    body = request.body
    before = decode_id_cursor(body.after)
    async with deps.db.connection() as connection:
        found = await reviews.list_newest(connection, body.status, before, body.limit + 1)
    page, following = paginate(found, body.limit)
    return ListPage[Review](items=page, next=following)


async def get_review(deps: CatalogDeps, request: Request[ReviewRef]) -> Reply[Review]:
    """Reads a review, in any status, for its author or an administrator."""
    async with deps.db.connection() as connection:
        record = await reviews.find(connection, request.body.id)
    if record is None or not (request.user.is_admin or record.review.user_id == request.user.user_id):
        raise NotFound
    return Reply(record.review, record.version)


async def replace_review(deps: CatalogDeps, request: Request[ReplaceReview]) -> Reply[Review]:
    """Replaces the customer's own review, which is pending again and so leaves the rating."""
    body = request.body
    refuse_card_numbers(title=body.title, body=body.body)
    async with deps.db.transaction(request) as tx:
        before = require_author(await reviews.lock(tx.connection, body.id), request.user)
        require_version(before, request.if_match)
        return await _update(deps, tx, before, replaced(before, body, now()))


async def delete_review(deps: CatalogDeps, request: Request[ReviewRef]) -> Reply[Empty]:
    """Deletes the customer's own review. The customer may write another."""
    async with deps.db.transaction(request) as tx:
        before = require_author(await reviews.lock(tx.connection, request.body.id), request.user)
        require_version(before, request.if_match)
        await reviews.delete(tx.connection, before.review.id)
        await _add_rating(deps, tx, before.review, None)
        return tx.reply(Empty())


async def publish_review(deps: CatalogDeps, request: Request[ReviewRef]) -> Reply[Review]:
    """Publishes a review. With `If-Match` only the text that the administrator has read."""
    return await _moderate(deps, request, status=ReviewStatus.PUBLISHED, reason=None)


async def reject_review(deps: CatalogDeps, request: Request[RejectReview]) -> Reply[Review]:
    """Rejects a review, also one that was published, and tells its author why."""
    return await _moderate(deps, request, status=ReviewStatus.REJECTED, reason=request.body.reason)


async def answer_review(deps: CatalogDeps, request: Request[AnswerReview]) -> Reply[Review]:
    """Sets or removes the shop's answer to a review."""
    refuse_card_numbers(answer=request.body.answer)
    return await _moderate(deps, request, answer=request.body.answer or None)


async def _moderate(deps: CatalogDeps, request: ModerationRequest, **fields: Any) -> Reply[Review]:
    async with deps.db.transaction(request) as tx:
        before = await reviews.lock(tx.connection, request.body.id)
        if before is None:
            raise NotFound
        require_version(before, request.if_match)
        after = before.changed(**fields)
        tx.audit_changes(before={"status": before.review.status}, after={"status": after.review.status})
        return await _update(deps, tx, before, after)


async def _update(deps: CatalogDeps, tx: Transaction, before: ReviewRecord, after: ReviewRecord) -> Reply[Review]:
    await reviews.update(tx.connection, after)
    await _add_rating(deps, tx, before.review, after.review)
    return tx.reply(after.review, version=after.version)


async def _add_rating(deps: CatalogDeps, tx: Transaction, before: Review, after: Review | None) -> None:
    change = rating_change(before, after)
    if change.sum or change.count:
        await ratings.add(tx.connection, change)
        tx.on_commit(deps.rating_ranker.wake)


async def _find_product(
    connection: Connection, request: Request[ListProductReviews] | Request[CreateReview]
) -> RatedProduct:
    """The product; raises `NotFound` if it is off sale, unless an administrator asks."""
    product = await ratings.find(connection, request.body.id)
    if product is None or not (product.is_on_sale or _is_admin(request.identity)):
        raise NotFound
    return product


def _is_admin(identity: Identity | None) -> bool:
    return identity is not None and identity.is_admin
