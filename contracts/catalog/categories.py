"""The tree that products are found in."""

from http import HTTPStatus
from typing import Annotated

from pydantic import StringConstraints

from contracts.failure import Fail
from contracts.model import Id, Line, Model, Name, Slug


class CategoryInUse(Fail, status=HTTPStatus.CONFLICT):
    """The category still has products or categories below it."""


class CategoryCycle(Fail, status=HTTPStatus.CONFLICT):
    """A category cannot stand below itself."""


class Category(Model):
    id: Id
    slug: Slug
    name: Line
    parent_id: Id | None


class NewCategory(Model):
    name: Annotated[Name, StringConstraints(max_length=100)]
    slug: Slug | None = None
    parent_id: Id | None = None


class ReplaceCategory(NewCategory):
    id: Id


class CategoryOf(Model):
    id: Id
