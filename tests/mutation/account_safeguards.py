"""The safeguards of accounts: sessions, passwords, guests' keys, tokens and bodies that a request may not need."""

from tests.mutation.safeguard import Safeguard

SESSIONS, ERASURE = "tests/services/user/test_sessions.py", "tests/services/user/test_erasure.py"
HASHER = "services/user/security/password_hasher.py"

ACCOUNT_SAFEGUARDS = (
    Safeguard(
        "refresh: parallel tabs are signed out",
        "services/user/handlers/sessions.py",
        "        if reply is not None:\n            return reply\n",
        "",
        (f"{SESSIONS}::test_concurrent_refreshes_with_one_token_get_the_same_successor",),
    ),
    Safeguard(
        "refresh: a spent successor is given again",
        "services/user/store/sessions.py",
        " AND next.spent_at IS NULL",
        "",
        (f"{SESSIONS}::test_token_whose_successor_is_spent_ends_the_session",),
    ),
    Safeguard(
        "refresh: the grace period never ends",
        "services/user/store/sessions.py",
        "spent.spent_at > clock_timestamp() - make_interval(secs => $2)",
        "$2::float8 >= 0",
        (f"{SESSIONS}::test_successor_is_not_returned_after_the_grace_period",),
    ),
    Safeguard(
        "refresh: successors are kept for ever",
        "services/user/workers/cleanup.py",
        "await sessions.erase_successors(connection, deps.refresh_grace_seconds, BATCH_SIZE)",
        "0",
        (f"{SESSIONS}::test_successors_are_erased_after_the_grace_period",),
    ),
    Safeguard(
        "guests' keys: a short one is taken",
        "edge/idempotency_keys.py",
        "if is_anonymous and not can_hold_128_bits(key):",
        "if False:",
        ("tests/edge/test_guest_idempotency_keys.py::test_a_guessable_key_of_a_guest_is_refused",),
    ),
    Safeguard(
        "guests' keys: one that repeats itself is taken",
        "edge/idempotency_keys.py",
        " and not _is_repetition(without_dashes)",
        "",
        ("tests/edge/test_guest_idempotency_keys.py::test_a_guessable_key_of_a_guest_is_refused",),
    ),
    Safeguard(
        "erasure: the password is not checked",
        "services/user/handlers/reauthentication.py",
        "if not await deps.password_hasher.verify(password, account.password_hash):",
        "if False:",
        (f"{ERASURE}::test_erasure_needs_the_password",),
    ),
    Safeguard(
        "erasure: the code is not checked",
        "services/user/handlers/reauthentication.py",
        "    if not account.totp:\n",
        "    if account or not account.totp:\n",
        (f"{ERASURE}::test_erasure_needs_a_code_where_a_second_factor_is_set",),
    ),
    Safeguard(
        "erasure: guesses of the password are not counted",
        "services/user/handlers/reauthentication.py",
        "await deps.login_throttle.count_wrong_password(key)",
        "pass",
        (f"{ERASURE}::test_guessing_the_password_of_an_erasure_is_throttled_like_a_login",),
    ),
    Safeguard(
        "bodies: one that no route takes is ignored",
        "edge/route_handler.py",
        "            await refuse_body(request)\n",
        "",
        ("tests/edge/test_ignored_bodies.py::test_a_body_where_none_is_taken_is_refused",),
    ),
    Safeguard(
        "tokens: an old one refuses a login",
        "edge/route_handler.py",
        "if not self.route.operation.ignores_tokens:",
        "if True:",
        ("tests/edge/test_ignored_tokens.py::test_a_token_is_not_read_where_a_session_begins_or_ends",),
    ),
    Safeguard(
        "tokens: an old one closes the shop",
        "edge/route_handler.py",
        "if not self.route.operation.is_public:",
        "if True:",
        ("tests/edge/test_ignored_tokens.py::test_a_bad_token_refuses_no_public_read",),
    ),
    Safeguard(
        "passwords: compared by bytes",
        HASHER,
        "plain = compose_password(password.get_secret_value()).encode()",
        "plain = password.get_secret_value().encode()",
        ("tests/services/user/test_password_hasher.py::test_password_is_compared_in_nfc",),
    ),
    Safeguard(
        "passwords: an old hash of another form does not match",
        HASHER,
        'dict.fromkeys((compose_password(password), password, unicodedata.normalize("NFD", password)))',
        "dict.fromkeys((compose_password(password),))",
        ("tests/services/user/test_password_hasher.py::test_old_hash_of_another_form_matches_and_is_replaced",),
    ),
    Safeguard(
        "addresses: an unassigned country is taken",
        "contracts/countries.py",
        "if country not in COUNTRY_CODES:",
        "if False:",
        ("tests/contracts/test_addresses.py::test_unassigned_country_is_refused",),
    ),
    Safeguard(
        "addresses: a missing postal code is taken",
        "contracts/order/addresses.py",
        "Field(validate_default=True, ",
        "Field(",
        ("tests/contracts/test_addresses.py::test_missing_postal_code_is_refused_like_an_empty_one",),
    ),
    Safeguard(
        "names: invisible characters are a name",
        "contracts/model.py",
        "if not is_visible(text):",
        "if False:",
        ("tests/contracts/test_visible_text.py::test_invisible_name_is_refused",),
    ),
)
