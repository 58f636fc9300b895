"""Imports of product files, which run as background jobs."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.failure import Fail
from contracts.model import Id, Model, Timestamp


class NotCsv(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="not_csv"):
    """The file is not a product CSV: it must have the columns Title and Variant Price (or Price)."""


class StartProductImport(Model):
    """The file to import, which the edge has put into the object store."""

    upload: Annotated[str, Field(description="Name of the object in the `UPLOADS` bucket.", max_length=64)]
    dry_run: Annotated[bool, Field(description="Only report what the import would do, and change nothing.")] = False


class ProductImportRef(Model):
    """Names an import."""

    id: Id


class ProductImportStatus(StrEnum):
    """How far an import has come."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ProductImportWarning(Model):
    """A value that was changed or left out so that its product could be imported."""

    line: Annotated[int, Field(description="The line in the file; the header is line 1.")]
    handle: Annotated[str, Field(description="The handle of the product; empty when the row has none.")] = ""
    field: Annotated[str, Field(description="The column, by its name in the file; may be empty.")] = ""
    value: Annotated[str, Field(description="The beginning of the cell's value.")] = ""
    detail: Annotated[str, Field(description="What was changed or is wrong.")]


class ProductImportError(ProductImportWarning):
    """A row that could not be imported."""


class ProductImport(Model):
    """An import and its progress."""

    id: Id
    status: ProductImportStatus
    dry_run: Annotated[bool, Field(description="Whether this only reports what an import would do.")] = False
    rows: Annotated[int, Field(description="Rows read so far.")]
    products: Annotated[int, Field(description="Products of the file that are in the shop.")]
    variants: Annotated[int, Field(description="Their variants.")]
    created: Annotated[int, Field(description="Products created.")]
    updated: Annotated[int, Field(description="Products updated.")]
    unchanged: Annotated[int, Field(description="Products that were up to date already.")]
    warnings: Annotated[
        list[ProductImportWarning], Field(description="Values that were changed or left out; at most 1000.")
    ] = []
    errors: Annotated[list[ProductImportError], Field(description="Rows that could not be imported; at most 1000.")]
    created_at: Timestamp
