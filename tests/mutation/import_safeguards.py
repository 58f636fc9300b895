"""The safeguards of product files: what an import may never take from a product, and what no row may cost."""

from tests.mutation.safeguard import Safeguard

IDENTITY = "tests/services/catalog/test_import_identity.py"
CLAIMS = "tests/services/catalog/test_import_sku_matching.py"
IMPORTS = "tests/services/catalog/test_imports.py"
PRODUCTS = "tests/services/catalog/test_products.py"
RUNNER = "services/catalog/workers/import_runner.py"
SKUS = "tests/e2e/test_sku_characters.py"

IMPORT_SAFEGUARDS = (
    Safeguard(
        "import: a product is found by a slug that its handle only resembles",
        "services/catalog/store/products.py",
        "WHERE handle = $1 OR (slug = $1 AND handle IS NULL)",
        "WHERE handle = $1 OR slug = $1",
        (f"{IDENTITY}::test_handles_with_the_same_slug_are_different_products",),
    ),
    Safeguard(
        "import: a SKU is taken from another product",
        "services/catalog/store/products.py",
        "WHERE variant.product_id = excluded.product_id\nRETURNING sku",
        "RETURNING sku",
        (f"{IMPORTS}::test_a_sku_of_another_product_is_never_taken",),
    ),
    Safeguard(
        "import: a variant whose SKU is taken is left out",
        "services/catalog/domain/shopify/sku_claims.py",
        "    return claimed.with_other_skus(left, notices) if left else claimed\n",
        "    return replace(claimed, variants=()) if left else claimed\n",
        (f"{IMPORTS}::test_a_sku_of_another_product_is_never_taken",),
    ),
    Safeguard(
        "import: a product of the file is taken for another one by its SKUs",
        "services/catalog/domain/shopify/sku_claims.py",
        "if 2 * count > len(skus) and owner.handle not in claims.handles:",
        "if 2 * count > len(skus):",
        (f"{CLAIMS}::test_a_product_of_the_file_is_not_renamed_and_a_few_skus_rename_none",),
    ),
    Safeguard(
        "import: a few shared SKUs replace another product",
        "services/catalog/domain/shopify/sku_claims.py",
        "if 2 * count > len(skus) and owner.handle not in claims.handles:",
        "if owner.handle not in claims.handles:",
        (f"{CLAIMS}::test_a_product_of_the_file_is_not_renamed_and_a_few_skus_rename_none",),
    ),
    Safeguard(
        "import: a SKU that orders hold is given to another product",
        "services/catalog/workers/imported_sku_swaps.py",
        "        except VariantInUse as error:\n",
        "        except ZeroDivisionError as error:\n",
        (f"{CLAIMS}::test_a_sku_on_hold_is_not_given_to_another_product",),
    ),
    Safeguard(
        "import: a refused product costs the others of its batch",
        RUNNER,
        "        await _import_batch(run, batch[middle:])\n",
        "        pass\n",
        (f"{IDENTITY}::test_a_dry_run_reports_the_same_and_changes_nothing",),
    ),
    Safeguard(
        "import: a missing column clears the cells that were kept",
        "services/catalog/domain/shopify/unknown_columns.py",
        "for column, cell in before.items() if column not in columns}",
        "for column, cell in before.items() if column in ()}",
        ("tests/services/catalog/test_unknown_columns.py::test_what_a_file_does_not_say_stays",),
    ),
    Safeguard(
        "import: a category is found by a slug that its name only resembles",
        "services/catalog/workers/category_import.py",
        'exact_slug = "-".join(name.lower().split())',
        "exact_slug = slugify(name)",
        (f"{IDENTITY}::test_categories_are_told_apart_by_their_names",),
    ),
    Safeguard(
        "import: a variant on hold costs the change of its product",
        RUNNER,
        "        return replace(product, kept_skus=product.kept_skus | set(skus))\n",
        "        return None\n",
        (f"{IMPORTS}::test_a_variant_on_hold_stays_and_the_rest_is_imported",),
    ),
    Safeguard(
        "import: a lock of another transaction ends the run",
        RUNNER,
        "        except run.deps.db.contention_errors:\n",
        "        except ZeroDivisionError:\n",
        (f"{IDENTITY}::test_an_import_waits_for_a_lock_without_starting_again",),
    ),
    Safeguard(
        "import: a run that failed keeps its claim",
        RUNNER,
        "            await imports.release(connection, job)\n",
        "            pass\n",
        (f"{IDENTITY}::test_an_import_goes_on_at_once_after_its_connection_was_lost",),
    ),
    Safeguard(
        "import: a dry run writes products",
        "services/catalog/workers/import_batches.py",
        "                raise _RolledBackError\n",
        "                pass\n",
        (f"{IDENTITY}::test_a_dry_run_reports_the_same_and_changes_nothing",),
    ),
    Safeguard(
        "import: rows that do not stand together replace each other",
        "services/catalog/domain/shopify/row_reader.py",
        "        if left.get(current, 1) > 1:\n",
        "        if left.get(current, 1) > 1000:\n",
        ("tests/services/catalog/test_shopify.py::test_rows_that_do_not_stand_together_make_one_product",),
    ),
    Safeguard(
        "slugs: a product hides behind a word of a path",
        "services/catalog/domain/slugs.py",
        "return make_unique(slug, product_id) if slug in RESERVED_SLUGS else slug",
        "return slug",
        (f"{PRODUCTS}::test_a_slug_may_not_be_a_word_of_a_path",),
    ),
    Safeguard(
        "slugs: a requested slug may be a word of a path",
        "services/catalog/domain/product_changes.py",
        "    if slug in RESERVED_SLUGS:\n",
        "    if slug in ():\n",
        (f"{PRODUCTS}::test_a_slug_may_not_be_a_word_of_a_path",),
    ),
    Safeguard(
        "options: variants that shoppers cannot tell apart are accepted",
        "services/catalog/domain/product_changes.py",
        "[*duplicates, *unusable, *_find_unclear_options(variants)]",
        "[*duplicates, *unusable]",
        (f"{PRODUCTS}::test_variants_that_options_do_not_tell_apart_are_refused",),
    ),
    Safeguard(
        "SKU: one that no path can name is accepted",
        "services/catalog/domain/product_changes.py",
        "[*duplicates, *unusable, *_find_unclear_options(variants)]",
        "[*duplicates, *_find_unclear_options(variants)]",
        (f"{SKUS}::test_what_cannot_be_seen_or_named_is_no_sku",),
    ),
)
