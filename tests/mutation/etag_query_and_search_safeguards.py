"""The safeguards of what clients read and ask: ETags, the values of queries, error texts and search."""

from tests.mutation.safeguard import Safeguard

ETAGS = "tests/edge/test_etags.py"
CONDITIONAL = "tests/edge/test_conditional_requests.py"
QUERIES = "tests/edge/test_query_values.py"
FORMATS = "tests/contracts/test_text_patterns.py"
SEARCH = "tests/services/catalog/test_accent_insensitive_search.py"
LARGE = "tests/services/catalog/test_searches_with_many_matches.py"
WORDS = "tests/services/catalog/test_search_vocabulary.py"
PRODUCT_FILTERS = "services/catalog/store/product_filters.py"
PRODUCT_QUERIES = "services/catalog/store/product_queries.py"

QUERY_SAFEGUARDS = (
    Safeguard(
        "ETag: it names the version alone, so stale stock stays in browsers",
        "edge/etags.py",
        "hashlib.blake2b(body, digest_size",
        'hashlib.blake2b(b"", digest_size',
        (f"{CONDITIONAL}::test_a_product_s_etag_changes_with_its_stock",),
    ),
    Safeguard(
        "If-Match: another version is accepted",
        "services/catalog/handlers/products.py",
        "if request.if_match is not None and product.version not in request.if_match:",
        "if False:",
        (f"{CONDITIONAL}::test_a_write_is_accepted_by_its_version",),
    ),
    Safeguard(
        "304 by Nginx: a response that is not cached is sent again",
        "nginx/macros.j2",
        "proxy_set_header If-None-Match $souk_if_none_match;",
        "",
        ("tests/nginx/test_caching.py::test_the_edge_compares_the_etag_of_a_response_that_is_not_cached",),
    ),
    Safeguard(
        "query: numbers that only Python reads are accepted",
        "edge/request_parsing.py",
        "        params = {**(self._read_query(query) if query else {}), **path_params}\n"
        "        self._check_numbers(params)",
        "        params = {**(self._read_query(query) if query else {}), **path_params}",
        (f"{QUERIES}::test_only_digits_are_a_number",),
    ),
    Safeguard(
        "query: a time beyond the calendar reaches the database",
        "contracts/model.py",
        "        value.astimezone(UTC)",
        "        pass",
        (f"{QUERIES}::test_other_times_are_refused",),
    ),
    Safeguard(
        "error text: a pattern is shown",
        "contracts/text_patterns.py",
        'if error["type"] == "string_pattern_mismatch":',
        "if False:",
        (f"{FORMATS}::test_no_route_shows_a_pattern",),
    ),
    Safeguard(
        "search: accents of the query are not folded",
        "services/catalog/domain/search.py",
        "    text = query_text(q)",
        "    text = q",
        (f"{SEARCH}::test_search_ignores_accents_case_and_encoding",),
    ),
    Safeguard(
        "search: names of stop words are not found",
        PRODUCT_FILTERS,
        "THEN to_tsquery('simple', {all_words}) ELSE",
        "THEN ''::tsquery ELSE",
        (f"{SEARCH}::test_some_of_the_stop_words_find_a_name",),
    ),
    Safeguard(
        "search: an exact name or SKU does not come first",
        PRODUCT_FILTERS,
        "THEN 2 ELSE 0 END)::real",
        "THEN 0 ELSE 0 END)::real",
        (f"{SEARCH}::test_an_exact_sku_comes_first", f"{SEARCH}::test_an_exact_name_comes_first"),
    ),
    Safeguard(
        "search: an exact match that is older than the ranked products does not come first",
        PRODUCT_QUERIES,
        " UNION ALL {matches} AND p.id = ANY ({query.exact_ids}) AND p.id < b.oldest",
        "",
        (f"{LARGE}::test_an_exact_match_comes_first_however_many_are_newer",),
    ),
    Safeguard(
        "search: other products are ranked on each page, so some are on none or two",
        PRODUCT_QUERIES,
        'f"{matches} AND p.id >= {oldest}"',
        'f"{matches} ORDER BY p.id DESC LIMIT {MAX_RANKED_PRODUCTS}"',
        (f"{LARGE}::test_unranked_matches_follow_and_pages_stay_stable",),
    ),
    Safeguard(
        "search: cached facets and pages outlive a change",
        "services/catalog/store/search_result_cache.py",
        "if changes.products or changes.stock:",
        "if False:",
        (f"{LARGE}::test_cached_facets_follow_every_change",),
    ),
    Safeguard(
        "search: a change that was not committed yet counts as seen",
        "services/catalog/store/product_change_watch.py",
        "WHERE transaction_id >= pg_snapshot_xmin($1::text::pg_snapshot)",
        "WHERE transaction_id >= pg_snapshot_xmax($1::text::pg_snapshot)",
        (f"{LARGE}::test_cached_facets_follow_every_change",),
    ),
    Safeguard(
        "search: what an older release wrote is not found until it is indexed",
        PRODUCT_FILTERS,
        "SELECT o.id FROM product o WHERE o.search @@ {1} AND o.indexed_version <> o.version",
        "SELECT o.id FROM product o WHERE false AND o.search @@ {1}",
        (f"{LARGE}::test_what_an_older_release_wrote_is_found_before_it_is_indexed",),
    ),
    Safeguard(
        "search indexer: what an older release wrote is not found",
        "services/catalog/app.py",
        "deps.import_worker, deps.search_indexer,",
        "deps.import_worker,",
        (f"{SEARCH}::test_what_an_older_release_wrote_is_indexed",),
    ),
    Safeguard(
        "search indexer: what an older release wrote has no attributes and options",
        "services/catalog/store/search_index.py",
        "WHERE p.search_version <> p.version",
        "WHERE p.indexed_version <> p.version",
        (f"{SEARCH}::test_what_an_older_release_wrote_is_indexed",),
    ),
    Safeguard(
        "facets: a facet is counted with its own filter",
        "services/catalog/domain/facet_counter.py",
        "if failed in (0, number)",
        "if failed == 0",
        (f"{LARGE}::test_facets_equal_a_count_by_hand",),
    ),
    Safeguard(
        "facets: a filter counts as matched although it fails",
        "services/catalog/store/product_search.py",
        'exact = [f"{total} <= 1"]',
        'exact = [f"{total} <= 2"]',
        (f"{LARGE}::test_facets_equal_a_count_by_hand",),
    ),
    Safeguard(
        "facets: a facet of a frequent word is counted with its own filter",
        "services/catalog/domain/matched_products.py",
        "for key, other in filters.items() if key != facet)",
        "for key, other in filters.items() if key)",
        (f"{LARGE}::test_facets_equal_a_count_by_hand",),
    ),
    Safeguard(
        "lists: cached pages of a category outlive a change",
        "services/catalog/store/product_loaders.py",
        "            await sources.category_lists.refresh(connection)",
        "            pass",
        (f"{LARGE}::test_cached_lists_of_a_category_follow_every_change",),
    ),
    Safeguard(
        "suggestions: cached names outlive a change",
        "services/catalog/store/suggestion_cache.py",
        "if (await self._watch.find_changes(connection)).products:",
        "if False:",
        (f"{LARGE}::test_cached_suggestions_follow_every_change",),
    ),
    Safeguard(
        "search: a mistyped word finds nothing",
        "services/catalog/store/product_loaders.py",
        "    if not corrections:\n        return result",
        "    if corrections:\n        return result",
        (f"{WORDS}::test_one_typo_is_tolerated",),
    ),
    Safeguard(
        "search: words are corrected that find enough",
        "services/catalog/store/product_loaders.py",
        "result.matches >= MIN_MATCHES",
        "result.matches > 100",
        (f"{WORDS}::test_words_that_find_enough_are_not_corrected",),
    ),
    Safeguard(
        "search: a SKU is corrected to a word",
        "services/catalog/store/search_vocabulary.py",
        "AND NOT EXISTS (SELECT FROM product p WHERE p.is_active AND p.terms @@ $3::tsquery)",
        "AND $3::text IS NOT NULL",
        (f"{WORDS}::test_skus_are_never_corrected",),
    ),
    Safeguard(
        "search: new synonyms are not noticed",
        "services/catalog/store/search_vocabulary.py",
        "        if version == self.current.synonyms.version:",
        "        if self.current.synonyms.version:",
        (f"{WORDS}::test_synonyms_find_each_other_at_once",),
    ),
    Safeguard(
        "synonyms: another version is replaced",
        "services/catalog/handlers/synonyms.py",
        "if request.if_match is not None and version not in request.if_match:",
        "if False:",
        (f"{WORDS}::test_synonyms_are_replaced_by_their_version",),
    ),
)
