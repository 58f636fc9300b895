"""Imports of product files, which run as background jobs."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.failure import Fail
from contracts.model import Id, Model, Timestamp


class NotCsv(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="not_csv"):
    """The file is not a product CSV: it must be UTF-8 with the columns Handle, Title and Variant Price."""


class StartProductImport(Model):
    """The file to import, which the edge has put into the object store."""

    upload: Annotated[str, Field(description="Name of the object in the `UPLOADS` bucket.", max_length=64)]


class ProductImportRef(Model):
    """Names an import."""

    id: Id


class ProductImportStatus(StrEnum):
    """How far an import has come."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ProductImportError(Model):
    """A row that could not be imported."""

    line: Annotated[int, Field(description="The line in the file; the header is line 1.")]
    detail: Annotated[str, Field(description="What is wrong with the row.")]


class ProductImport(Model):
    """An import and its progress."""

    id: Id
    status: ProductImportStatus
    rows: Annotated[int, Field(description="Rows read so far.")]
    products: Annotated[int, Field(description="Products in the file.")]
    variants: Annotated[int, Field(description="Variants in the file.")]
    created: Annotated[int, Field(description="Products created.")]
    updated: Annotated[int, Field(description="Products updated.")]
    unchanged: Annotated[int, Field(description="Products that were up to date already.")]
    errors: Annotated[list[ProductImportError], Field(description="Rows that could not be imported.")]
    created_at: Timestamp
