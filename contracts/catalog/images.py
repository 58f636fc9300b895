"""Images of products."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.failure import Fail
from contracts.model import Id, Model, SingleLine


class UnreadableImage(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="unreadable_image"):
    """The file is not a readable JPEG, PNG or WebP image."""


class AddProductImage(Model):
    """An uploaded image to add to a product."""

    id: Id
    upload: Annotated[str, Field(description="Name of the object in the `UPLOADS` bucket.", max_length=64)]
    alt: Annotated[
        SingleLine, StringConstraints(max_length=200), Field(description="A text for those who cannot see the image.")
    ] = ""


class ChangeProductImage(Model):
    """The fields of an image to change; the others stay."""

    id: Annotated[Id, Field(description="The product's id.")]
    image_id: Annotated[Id, Field(description="The image's id.")]
    alt: Annotated[
        SingleLine | None,
        StringConstraints(max_length=200),
        Field(description="A text for those who cannot see the image."),
    ] = None
    position: Annotated[
        int | None,
        Field(ge=1, le=1000, description="The new place among the product's images. The first is the main one."),
    ] = None


class ProductImageRef(Model):
    """Names an image of a product."""

    id: Annotated[Id, Field(description="The product's id.")]
    image_id: Annotated[Id, Field(description="The image's id.")]


class GetProductImage(Model):
    """An image and the width to return it at."""

    image_id: Annotated[Id, Field(description="The image's id.")]
    width: Annotated[
        int, Field(ge=16, le=2048, description="Width in pixels; the next larger stored width is returned.")
    ]


class ProductImageFile(Model):
    """Stands for the reply, whose body is the WebP image itself."""
