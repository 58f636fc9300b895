"""Pictures of products."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.failure import Fail
from contracts.model import Id, Model, SingleLine


class UnreadableImage(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """This is not a JPEG, PNG or WebP picture that can be read."""


class AddProductImage(Model):
    id: Id
    upload: Annotated[str, Field(description="Name of the object in the `UPLOADS` bucket.", max_length=64)]
    alt: Annotated[SingleLine, StringConstraints(max_length=200)] = ""


class GetProductImage(Model):
    image_id: Id
    width: Annotated[int, Field(ge=16, le=2048, description="Pixels; the next of the widths that are kept is served.")]


class ProductImageFile(Model):
    """The body of the reply is the WebP picture itself; this model only names it."""
