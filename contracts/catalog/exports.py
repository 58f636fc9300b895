"""Exports of all products as a product file, which comes in pages."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.failure import Fail
from contracts.model import Model, PageCursor


class ExportChanged(Fail, status=HTTPStatus.CONFLICT, code="export_changed"):
    """A product whose rows fill more than one page has changed between two of them. Start the export again."""


class ProductFileDialect(StrEnum):
    """Which names the columns of a product file have."""

    CURRENT = "current"
    LEGACY = "legacy"


class ExportProducts(Model):
    """A page of the file, of which the edge makes the whole file."""

    dialect: Annotated[
        ProductFileDialect,
        Field(description="`current` for the columns that Shopify writes now, `legacy` for those it wrote before."),
    ] = ProductFileDialect.CURRENT
    page_start: Annotated[PageCursor, Field(description="Where the page starts; without it, at the header.")] = None


class ProductFile(Model):
    """Stands for the reply, whose body is the CSV itself."""
