"""When a product is published: at once, at a time, or not yet."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from contracts.catalog import ChangeProduct, CreateProduct, ProductStatus, ReplaceProduct
from contracts.failure import FieldError, InvalidRequest

UNSCHEDULED = datetime.max.replace(tzinfo=UTC)
"""When a draft without a time is published: never by itself. PostgreSQL stores it as `infinity`."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Whether a product is active, so that its slug and its SKUs are its own, and from when it is on sale then.

    None for the time: from the beginning.
    """

    is_active: bool
    publish_at: datetime | None

    def is_draft(self, now: datetime) -> bool:
        """Whether it is still to be published."""
        return self.publish_at is not None and self.publish_at > now


def read_publish_at(stored: datetime | None) -> datetime | None:
    """A stored time. The driver reads `infinity` as a time without a zone."""
    return stored if stored is None or stored.tzinfo is not None else UNSCHEDULED


def plan_publication(body: CreateProduct) -> Publication:
    """The publication of a new product."""
    publish_at = body.publish_at
    if body.status is ProductStatus.DRAFT and publish_at is None:
        publish_at = UNSCHEDULED
    return Publication(body.status is not ProductStatus.INACTIVE, publish_at)


def change_publication(before: Publication, body: ReplaceProduct | ChangeProduct, now: datetime) -> Publication:
    """The publication after PUT or PATCH. A request that says nothing about it leaves a draft a draft."""
    after = before
    if body.status is not None:
        after = with_status(before, body.status, now)
        if "is_active" in body.model_fields_set and body.is_active not in (None, after.is_active):
            detail = "This contradicts `is_active`. Send only one of the two."
            raise InvalidRequest(errors=[FieldError(pointer="/status", detail=detail)])
    elif body.is_active is not None:
        after = replace(before, is_active=body.is_active)
    if body.publish_at is not None:
        return replace(after, publish_at=body.publish_at)
    if "publish_at" in body.model_fields_set and after.is_draft(now):
        return replace(after, publish_at=UNSCHEDULED)
    return after


def with_status(before: Publication, status: ProductStatus, now: datetime) -> Publication:
    """The publication with that status from now on. A draft that is scheduled stays so."""
    if status is ProductStatus.INACTIVE:
        return replace(before, is_active=False)
    if status is ProductStatus.DRAFT:
        return Publication(is_active=True, publish_at=before.publish_at if before.is_draft(now) else UNSCHEDULED)
    return Publication(is_active=True, publish_at=None if before.is_draft(now) else before.publish_at)
