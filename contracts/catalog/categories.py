"""Categories: the tree that products are sorted into."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.failure import Fail
from contracts.model import VISIBLE, Id, Model, NonEmptyLine, SingleLine, Slug


class CategoryInUse(Fail, status=HTTPStatus.CONFLICT, code="category_in_use"):
    """The category still contains products or other categories."""


class CategoryCycle(Fail, status=HTTPStatus.CONFLICT, code="category_cycle"):
    """A category cannot be its own ancestor."""


class Category(Model):
    """A category of products."""

    id: Id
    slug: Slug
    name: Annotated[SingleLine, Field(description="The name that shoppers see.")]
    parent_id: Annotated[Id | None, Field(description="The category above; null at the top.")]


class CreateCategory(Model):
    """The fields of a category."""

    name: Annotated[
        NonEmptyLine, StringConstraints(max_length=100), VISIBLE, Field(description="The name that shoppers see.")
    ]
    slug: Annotated[Slug | None, Field(description="Without it, the slug is made from the name.")] = None
    parent_id: Annotated[Id | None, Field(description="The category above, if any.")] = None


class ReplaceCategory(CreateCategory):
    """The new fields of a category."""

    id: Id


class CategoryRef(Model):
    """Names a category."""

    id: Id
