"""Every check of who may do what, to be taken away one at a time: `make safeguards ARGS="--only access"`."""

from tests.mutation.safeguard import Safeguard

WALK = "tests/access/test_access_table.py::test_everybody_is_told_what_the_table_says"
LISTS = "tests/access/test_access_table.py::test_what_is_listed_is_one_s_own"
ALONE = "tests/access/test_access_table.py::test_a_service_refuses_by_itself_whom_the_edge_refuses"
FIELDS = "tests/access/test_mass_assignment.py::test_what_is_ours_to_say_is_refused_in_every_object"
ORDERS, PAYMENTS = "services/order", "services/payment/handlers"
ADDRESSES, SESSIONS = "services/user/store/addresses.py", "services/user/store/sessions.py"


def _check(name: str, file: str, there: str, without: str, test: str = WALK) -> Safeguard:
    return Safeguard(f"access: {name}", file, there, without, (test,))


ACCESS_SAFEGUARDS = (
    _check(
        "another's order is read and cancelled",
        f"{ORDERS}/domain/orders.py",
        "if kept is None or not (identity.is_admin or kept.order.user_id == identity.user_id):",
        "if kept is None:",
    ),
    _check(
        "another's order is paid",
        f"{ORDERS}/handlers/commands.py",
        "if found is None or found.order.user_id != ask.who.user_id:",
        "if found is None:",
    ),
    _check(
        "everybody's orders are listed",
        f"{ORDERS}/handlers/queries.py",
        "user_id=body.user_id if who.is_admin else who.user_id,",
        "user_id=body.user_id,",
        LISTS,
    ),
    _check(
        "another's orders are asked for",
        f"{ORDERS}/handlers/queries.py",
        "if not who.is_admin and body.user_id not in (None, who.user_id):",
        "if False:",
        "tests/access/test_access_table.py::test_a_list_narrowed_to_another_s_things_shows_nothing",
    ),
    _check(
        "another's payment is read",
        f"{PAYMENTS}/queries.py",
        "if payment is None or not (ask.who.is_admin or payment.user_id == ask.who.user_id):",
        "if payment is None:",
    ),
    _check(
        "everybody's payments are listed",
        f"{PAYMENTS}/queries.py",
        "user_id=None if ask.who.is_admin else ask.who.user_id,",
        "user_id=None,",
        LISTS,
    ),
    _check(
        "a payment is made for another's order",
        f"{PAYMENTS}/charges.py",
        "if payable is None or payable.user_id != ask.who.user_id:",
        "if payable is None:",
    ),
    _check(
        "another's payment is confirmed",
        f"{PAYMENTS}/charges.py",
        "payment.user_id != ask.who.user_id or not _proven(",
        "not _proven(",
    ),
    _check(
        "another's cart is used",
        "services/cart/deps.py",
        "if cart is None or cart.merged_into or cart.user_id not in (None, user_id):",
        "if cart is None or cart.merged_into:",
    ),
    _check(
        "another's cart is joined to one's own",
        "services/cart/handlers/merge.py",
        "if cart is None or cart.user_id is not None:",
        "if cart is None:",
        "tests/access/test_access_table.py::test_another_s_cart_joins_nobody_s",
    ),
    _check(
        "another's address is replaced",
        ADDRESSES,
        "WHERE account_id = $1 AND id = $2 RETURNING {_COLUMNS}",
        "WHERE $1::uuid IS NOT NULL AND id = $2 RETURNING {_COLUMNS}",
    ),
    _check(
        "another's address is removed",
        ADDRESSES,
        "DELETE FROM address WHERE account_id = $1 AND id = $2",
        "DELETE FROM address WHERE $1::uuid IS NOT NULL AND id = $2",
    ),
    _check(
        "an order goes to another's address",
        ADDRESSES,
        "SELECT {_COLUMNS} FROM address WHERE account_id = $1 AND id = $2",
        "SELECT {_COLUMNS} FROM address WHERE $1::uuid IS NOT NULL AND id = $2",
    ),
    _check(
        "everybody's addresses are listed",
        ADDRESSES,
        "WHERE account_id = $1 AND id > $2",
        "WHERE $1::uuid IS NOT NULL AND id > $2",
        LISTS,
    ),
    _check(
        "another's session is ended",
        SESSIONS,
        "WHERE id = $2 AND account_id = $1 AND revoked_at IS NULL",
        "WHERE id = $2 AND $1::uuid IS NOT NULL AND revoked_at IS NULL",
    ),
    _check(
        "everybody's sessions are listed",
        SESSIONS,
        "WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > now() AND id < $2",
        "WHERE $1::uuid IS NOT NULL AND revoked_at IS NULL AND expires_at > now() AND id < $2",
        LISTS,
    ),
    _check(
        "everybody's notifications are listed",
        "services/notification/handlers/events.py",
        "owner = None if ask.who.is_admin else ask.who.user_id",
        "owner = None",
        LISTS,
    ),
    _check(
        "services leave it to the edge who is an administrator",
        "infra/messaging/rpc_server.py",
        "identity = admit(operation, identity)",
        "pass",
        ALONE,
    ),
    _check(
        "a key does what its scopes do not say",
        "contracts/access.py",
        "if operation.scope in (identity.scopes or ()):",
        "if True:",
        "tests/access/test_access_table.py::test_a_key_does_nothing_without_the_scope",
    ),
    _check(
        "a key outlives its maker's office",
        "services/user/store/api_keys.py",
        "AND a.is_active AND a.role = 'admin' AND (a.totp OR NOT $2)",
        "AND (a.totp OR NOT $2)",
        "tests/services/user/test_api_keys.py::test_a_key_of_who_is_banned_by_other_means_is_no_key",
    ),
    _check(
        "the edge leaves it to the services who is an administrator",
        "edge/endpoint.py",
        "admit(self.route.operation, caller.identity if caller is not None else None)",
        "pass",
        "tests/edge/test_edge.py::test_access_is_refused_early",
    ),
    _check(
        "fields that nobody knows are passed over", "contracts/model.py", 'extra="forbid",', 'extra="ignore",', FIELDS
    ),
    _check(
        "an id in the body is passed over",
        "edge/request_parsing.py",
        "if foreign := [name for name in path if name in said]:",
        "if foreign := []:",
        "tests/access/test_mass_assignment.py::test_what_the_path_or_the_edge_says_is_refused_in_a_body",
    ),
    _check(
        "an identity is believed where services ask",
        "infra/messaging/rpc_server.py",
        "if headers.IDENTITY in header and operation.access is not Access.SERVICE:",
        "if headers.IDENTITY in header:",
        "tests/access/test_identity_spoofing.py::test_an_identity_is_not_even_read_where_services_ask",
    ),
    _check(
        "every service may ask everything",
        "infra/messaging/permissions.py",
        "asks = [operation.subject for operation in asked_by(user)]",
        'asks = ["rpc.>"]',
        "tests/infra/messaging/test_permissions.py::test_the_whole_table",
    ),
    _check(
        "what the server sends for somebody is an ask",
        "infra/messaging/rpc_server.py",
        "if not reply.startswith(answered_at):",
        "if False:",
        "tests/infra/messaging/test_rpc_callers.py::test_a_stored_message_is_no_ask",
    ),
    _check(
        "a refresh token is an access token",
        "edge/auth/tokens.py",
        'if claims["typ"] != ACCESS_TYPE:',
        "if False:",
        "tests/edge/test_tokens.py::test_any_other_is_refused",
    ),
)
