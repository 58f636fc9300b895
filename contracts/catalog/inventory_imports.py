"""Imports of stock levels: a CSV with the units on hand of many SKUs, which are set in one request."""

from typing import Annotated

from pydantic import Field

from contracts.catalog.imports import ProductImportError
from contracts.model import Model

MAX_INVENTORY_LINES = 5_000
"""Lines of a file: their SKUs are locked together for about as long as an order may wait."""


class ImportInventory(Model):
    """The file to import, which the edge has put into the object store."""

    upload: Annotated[str, Field(description="Name of the object in the `UPLOADS` bucket.", max_length=64)]


class InventoryImport(Model):
    """What an import of stock levels has done."""

    lines: Annotated[int, Field(description="Lines read.")]
    updated: Annotated[int, Field(description="SKUs whose units on hand changed.")]
    unchanged: Annotated[int, Field(description="SKUs that had these units already.")]
    failed: Annotated[int, Field(description="Lines that could not be imported.")]
    errors: Annotated[
        list[ProductImportError], Field(description="The lines that could not be imported; at most 1000.")
    ]
