"""The rule of the category tree: no category is below itself."""

from collections.abc import Sequence
from uuid import UUID

from contracts.catalog import CategoryCycle
from contracts.failure import FieldError


def refuse_cycle(category_id: UUID, ancestors: Sequence[UUID]) -> None:
    """Raises `CategoryCycle` if the category is among the `ancestors`: the requested parent and all above it."""
    if category_id in ancestors:
        detail = "This parent is the category itself or lies below it."
        raise CategoryCycle(errors=[FieldError(pointer="/parent_id", detail=detail)])
