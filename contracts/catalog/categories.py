"""The tree that products are found in."""

from http import HTTPStatus
from typing import Annotated

from pydantic import StringConstraints

from contracts.failure import Fail
from contracts.model import Id, Model, NonEmptyLine, SingleLine, Slug


class CategoryInUse(Fail, status=HTTPStatus.CONFLICT):
    """The category still has products or categories below it."""


class CategoryCycle(Fail, status=HTTPStatus.CONFLICT):
    """A category cannot stand below itself."""


class Category(Model):
    id: Id
    slug: Slug
    name: SingleLine
    parent_id: Id | None


class CreateCategory(Model):
    name: Annotated[NonEmptyLine, StringConstraints(max_length=100)]
    slug: Slug | None = None
    parent_id: Id | None = None


class ReplaceCategory(CreateCategory):
    id: Id


class CategoryRef(Model):
    id: Id
