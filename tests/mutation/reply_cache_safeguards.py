"""The safeguards of replies that the edge keeps or fetches for several requests: who gets them, and for how long."""

from tests.mutation.safeguard import Safeguard

CACHE_TESTS = "tests/edge/test_reply_cache.py"
PUBLIC_TESTS = "tests/edge/test_cached_public_replies.py"
BATCH_TESTS = "tests/edge/test_product_batches.py"
CACHE, BATCHES, ENDPOINT = "edge/upstream/reply_cache.py", "edge/upstream/product_batches.py", "edge/route_handler.py"

REPLY_CACHE_SAFEGUARDS = (
    Safeguard(
        "edge cache: administrators get what guests see",
        ENDPOINT,
        "if self._max_age and (identity is None or identity.role is Role.CUSTOMER):",
        "if self._max_age:",
        (f"{PUBLIC_TESTS}::test_administrators_and_api_keys_never_get_a_kept_reply",),
    ),
    Safeguard(
        "edge cache: a shared request carries the identity of the first caller",
        ENDPOINT,
        "self._deps.upstream.request(operation, payload, {})",
        "self._deps.upstream.request(operation, payload, self._extra_headers(context, caller))",
        (f"{PUBLIC_TESTS}::test_a_public_reply_is_shared_by_guests_and_customers",),
    ),
    Safeguard(
        "edge cache: another query gets the reply",
        ENDPOINT,
        "(operation.subject, payload), self._max_age",
        '(operation.subject, b""), self._max_age',
        (f"{PUBLIC_TESTS}::test_equal_queries_share_a_reply_and_others_do_not",),
    ),
    Safeguard(
        "edge cache: a private reply is kept",
        ENDPOINT,
        "self._max_age = route.max_age",
        'self._max_age = route.max_age or (1 if route.method == "GET" else 0)',
        (f"{PUBLIC_TESTS}::test_a_private_reply_is_never_kept",),
    ),
    Safeguard(
        "edge cache: a reply is used for longer than its max-age",
        CACHE,
        "if stored is not None and age < min(fresh_seconds, stored.valid_seconds):",
        "if stored is not None and age < min(2 * fresh_seconds, stored.valid_seconds):",
        (f"{CACHE_TESTS}::test_a_reply_is_used_again_until_its_max_age",),
    ),
    Safeguard(
        "edge cache: the age counts from the reply",
        CACHE,
        "outcome = _create_reply(await fetch(), now)",
        "outcome = _create_reply(await fetch(), self._clock())",
        (f"{CACHE_TESTS}::test_the_age_counts_from_the_request",),
    ),
    Safeguard(
        "edge cache: an old reply has no last moment",
        CACHE,
        "if stored is not None and age < min(fresh_seconds + STALE_SECONDS, stored.valid_seconds):",
        "if stored is not None:",
        (f"{CACHE_TESTS}::test_a_reply_that_is_too_old_is_waited_for",),
    ),
    Safeguard(
        "edge cache: every request fetches by itself",
        CACHE,
        "if running is None or now - running.started_at >= JOIN_SECONDS:",
        "if True:",
        (f"{PUBLIC_TESTS}::test_simultaneous_requests_share_one_fetch",),
    ),
    Safeguard(
        "edge cache: a process that hangs holds up every later request",
        CACHE,
        "if running is None or now - running.started_at >= JOIN_SECONDS:",
        "if running is None:",
        (f"{CACHE_TESTS}::test_a_slow_fetch_is_not_joined",),
    ),
    Safeguard(
        "edge cache: a failure is kept",
        CACHE,
        "if not outcome.is_error:",
        "if outcome:",
        (f"{PUBLIC_TESTS}::test_a_failure_is_not_kept",),
    ),
    Safeguard(
        "edge cache: a late reply replaces a newer one",
        CACHE,
        "is_newest = stored is None or stored.requested_at < reply.requested_at",
        "is_newest = True",
        (f"{CACHE_TESTS}::test_a_slow_fetch_is_not_joined",),
    ),
    Safeguard(
        "edge cache: it grows without limit",
        CACHE,
        "if self.size_bytes <= self._max_bytes and",
        "if",
        (f"{CACHE_TESTS}::test_the_cache_has_a_limited_size",),
    ),
    Safeguard(
        "edge cache: kept replies look like a service that is fast",
        ENDPOINT,
        "< SERVER_ERROR and not context.is_answered_from_cache",
        "< SERVER_ERROR",
        (f"{PUBLIC_TESTS}::test_kept_replies_do_not_count_for_load_shedding",),
    ),
    Safeguard(
        "batches: one refused message fails all its requests",
        BATCHES,
        "if int(reply_headers[headers.ERROR_CODE]) not in SHARED_FAILURES:",
        "if False:",
        (f"{BATCH_TESTS}::test_what_cannot_be_read_together_is_read_one_by_one",),
    ),
    Safeguard(
        "batches: an overloaded catalog is asked again for each request",
        BATCHES,
        "if int(reply_headers[headers.ERROR_CODE]) not in SHARED_FAILURES:",
        "if True:",
        (f"{BATCH_TESTS}::test_an_overloaded_catalog_is_not_asked_again",),
    ),
    Safeguard(
        "batches: an unanswered message holds up the others",
        BATCHES,
        "call_later(SLOW_SECONDS,",
        "call_later(60 * SLOW_SECONDS + 60,",
        (f"{BATCH_TESTS}::test_an_unanswered_message_holds_up_no_other_request",),
    ),
    Safeguard(
        "batches: products off sale are shown to all callers",
        "services/catalog/handlers/queries.py",
        "    if not _is_visible(document, identity):\n        return",
        "    if document is None:\n        return",
        ("tests/services/catalog/test_product_lookups.py::test_only_administrators_see_a_product_off_sale",),
    ),
)
