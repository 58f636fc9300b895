"""What the category tree may become."""

from collections.abc import Sequence
from uuid import UUID

from contracts.catalog import CategoryCycle
from contracts.failure import FieldError


def refuse_cycle(category_id: UUID, ancestors: Sequence[UUID]) -> None:
    """`ancestors` are the parent that is asked for and all above it."""
    if category_id in ancestors:
        raise CategoryCycle(errors=[FieldError(pointer="/parent_id", detail="stands below this category")])
