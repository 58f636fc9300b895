"""Product files that come in as a job."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.failure import Fail
from contracts.model import Id, Model, Timestamp


class NotCsv(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """This is not a product CSV: it needs UTF-8 text with the columns Handle, Title and Variant Price."""


class StartProductImport(Model):
    """The file waits in the object store, where the edge has put it."""

    upload: Annotated[str, Field(description="Name of the object in the `UPLOADS` bucket.", max_length=64)]


class ProductImportRef(Model):
    id: Id


class ProductImportStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ProductImportError(Model):
    line: Annotated[int, Field(description="In the file, the header being line 1.")]
    detail: str


class ProductImport(Model):
    id: Id
    status: ProductImportStatus
    rows: Annotated[int, Field(description="Rows read so far.")]
    products: Annotated[int, Field(description="Products that the file holds.")]
    variants: Annotated[int, Field(description="Variants that the file holds.")]
    created: int
    updated: int
    unchanged: int
    errors: list[ProductImportError]
    created_at: Timestamp
