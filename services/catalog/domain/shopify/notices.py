"""What the sender of a product file is told: the warnings and the errors of one product."""

from dataclasses import dataclass, field

from contracts.catalog import ProductImportError, ProductImportWarning
from services.catalog.domain.shopify.row_reader import CsvRow

MAX_VALUE_LENGTH = 200
MAX_DETAIL_LENGTH = 1000


@dataclass(slots=True)
class Notices:
    """The warnings and errors of one product, in the order in which they were found."""

    handle: str
    warnings: list[ProductImportWarning] = field(default_factory=list)
    errors: list[ProductImportError] = field(default_factory=list)

    def warn(self, row: CsvRow, column: str, detail: str, value: str | None = None) -> None:
        """Adds that a value of the row was changed or left out; `value` is the cell unless given."""
        shown = row[column] if value is None else value
        self.add_warning(row.line, row.name_of(column), shown, detail)

    def refuse(self, row: CsvRow, column: str, detail: str) -> None:
        """Adds that the row could not be imported."""
        self.add_error(row.line, row.name_of(column), row[column], detail)

    def add_warning(self, line: int, column: str, value: str, detail: str) -> None:
        """Adds a warning about a line."""
        self.warnings.append(
            ProductImportWarning(line=line, handle=self.handle, field=column, value=_cut(value), detail=detail)
        )

    def add_error(self, line: int, column: str, value: str, detail: str) -> None:
        """Adds an error about a line."""
        shown = detail[:MAX_DETAIL_LENGTH]
        self.errors.append(
            ProductImportError(line=line, handle=self.handle, field=column, value=_cut(value), detail=shown)
        )


def _cut(value: str) -> str:
    return value if len(value) <= MAX_VALUE_LENGTH else f"{value[: MAX_VALUE_LENGTH - 1]}…"
