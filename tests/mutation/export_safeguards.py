"""The safeguards of exported product files: nothing is lost on the way out and back, and nothing runs as a formula."""

from tests.mutation.safeguard import Safeguard

EXPORTS = "tests/services/catalog/test_exports.py"
FILES = "tests/services/catalog/test_row_writer.py"
RESPONSES = "tests/edge/test_chunked_responses.py"
FILE_PAGES = "services/catalog/domain/shopify/export_pages.py"

EXPORT_SAFEGUARDS = (
    Safeguard(
        "export: a cell runs as a formula in a spreadsheet",
        "services/catalog/domain/shopify/row_writer.py",
        'escape_formula(cells.get(column, "").strip())',
        'cells.get(column, "").strip()',
        (f"{EXPORTS}::test_formulas_are_escaped",),
    ),
    Safeguard(
        "export: a response without its end looks like the whole file",
        "edge/chunked_responses.py",
        "                request.transport.abort()\n",
        "                pass\n",
        (f"{RESPONSES}::test_a_failure_of_a_later_page_breaks_the_connection_off",),
    ),
    Safeguard(
        "export: rows of two versions of a product come together",
        FILE_PAGES,
        "                raise ExportChanged\n",
        "                pass\n",
        (f"{EXPORTS}::test_rows_of_two_versions_of_a_product_do_not_come_together",),
    ),
    Safeguard(
        "export: a page is larger than a reply may be",
        FILE_PAGES,
        "if parts and size + len(line) > MAX_PAGE_BYTES:",
        "if False:",
        (f"{FILES}::test_a_product_that_does_not_fit_stands_on_several_pages",),
    ),
    Safeguard(
        "export: a change of a product that fits into a page breaks the export off",
        FILE_PAGES,
        "if parts and size + sum(map(len, lines)) > MAX_PAGE_BYTES:",
        "if False:",
        (f"{FILES}::test_products_stand_on_one_page_if_they_fit",),
    ),
    Safeguard(
        "export: two products off sale have the same handle",
        "services/catalog/store/product_exports.py",
        'product.slug if row["has_own_slug"] else make_handle(product.slug, product.id)',
        "product.slug",
        (f"{EXPORTS}::test_an_export_changes_nothing_when_it_is_imported",),
    ),
    Safeguard(
        "import: what a file cannot state is taken from a product",
        "services/catalog/workers/imported_product_writer.py",
        "    if after is not before:\n        after = keep_stored(",
        "    if False:\n        after = keep_stored(",
        (f"{EXPORTS}::test_an_export_changes_nothing_when_it_is_imported",),
    ),
    Safeguard(
        "import: an exported quantity undoes the sales since then",
        "services/catalog/workers/imported_product_writer.py",
        "        await stock.set_imported(connection, stated)\n",
        "        pass\n",
        (f"{EXPORTS}::test_a_quantity_in_a_file_sets_the_stock_only_when_it_is_another_one",),
    ),
)
