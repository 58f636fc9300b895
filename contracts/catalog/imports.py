"""Imports of product files, which run as background jobs."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.failure import Fail
from contracts.model import Id, Model, Timestamp


class NotCsv(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="not_csv"):
    """The file is not a CSV with the columns that the import needs."""


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


class ProductFieldChange(Model):
    """A value of a product file that is another one in the shop."""

    sku: Annotated[str, Field(description="The SKU of the variant; empty for a value of the whole product.")] = ""
    field: Annotated[str, Field(description="The column, by the name that an export gives it.")]
    before: Annotated[str, Field(description="The beginning of the value in the shop.")] = ""
    after: Annotated[str, Field(description="The beginning of the value that an import would write.")] = ""


class ProductImportChange(Model):
    """What an import would do to one product."""

    line: Annotated[int, Field(description="The line in the file where the product begins.")]
    handle: Annotated[str, Field(description="The handle of the product.")]
    is_new: Annotated[bool, Field(description="Whether the product would be created.")]
    fields: Annotated[
        list[ProductFieldChange], Field(description="The values that would change; at most 20, none of a new product.")
    ] = []


class ProductImport(Model):
    """An import and its progress."""

    id: Id
    status: ProductImportStatus
    dry_run: Annotated[bool, Field(description="Whether this only reports what an import would do.")] = False
    rows: Annotated[int, Field(description="Rows read so far.")]
    products: Annotated[int, Field(description="Products of the file that are in the shop.")]
    variants: Annotated[int, Field(description="Their variants.")]
    created: Annotated[int, Field(description="Products created; in a dry run those that an import would create.")]
    updated: Annotated[int, Field(description="Products updated; in a dry run those that an import would update.")]
    unchanged: Annotated[int, Field(description="Products that were up to date already.")]
    changes: Annotated[
        list[ProductImportChange],
        Field(description="In a dry run, the first 100 products that an import would change."),
    ] = []
    warnings: Annotated[
        list[ProductImportWarning], Field(description="Values that were changed or left out; at most 1000.")
    ] = []
    errors: Annotated[list[ProductImportError], Field(description="Rows that could not be imported; at most 1000.")]
    created_at: Timestamp
