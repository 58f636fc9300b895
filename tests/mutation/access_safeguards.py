"""Every access check, removed one at a time by `make safeguards ARGS="--only access"`."""

from tests.mutation.safeguard import Safeguard

WALK = "tests/access/test_access_table.py::test_every_caller_gets_the_response_of_the_table"
LISTS = "tests/access/test_access_table.py::test_lists_show_only_own_resources"
ALONE = "tests/access/test_access_table.py::test_services_refuse_callers_themselves"
GUESTS = "tests/access/test_guest_orders.py"
FIELDS = "tests/access/test_mass_assignment.py::test_server_fields_are_refused_in_every_object"
ORDERS, PAYMENTS = "services/order", "services/payment/handlers"
ADDRESSES, SESSIONS = "services/user/store/addresses.py", "services/user/store/sessions.py"


def _check(name: str, file: str, there: str, without: str, test: str = WALK) -> Safeguard:
    return Safeguard(f"access: {name}", file, there, without, (test,))


ACCESS_SAFEGUARDS = (
    _check(
        "another customer's order can be read and cancelled",
        f"{ORDERS}/domain/access.py",
        "if record is None or not (is_admin or is_owner(record, caller)):",
        "if record is None:",
    ),
    _check(
        "another customer's order can be paid",
        f"{ORDERS}/domain/access.py",
        "if record is None or not is_owner(record, caller):",
        "if record is None:",
    ),
    _check(
        "all customers' orders are listed",
        f"{ORDERS}/handlers/order_filters.py",
        "user_id=search.user_id if identity.is_admin else identity.user_id,",
        "user_id=search.user_id,",
        LISTS,
    ),
    _check(
        "another customer's orders can be requested",
        f"{ORDERS}/handlers/order_filters.py",
        "if not identity.is_admin and search.user_id not in (None, identity.user_id):",
        "if False:",
        "tests/access/test_access_table.py::test_a_list_filtered_by_another_customer_s_resource_is_empty",
    ),
    _check(
        "another customer's payment can be read",
        f"{PAYMENTS}/queries.py",
        "if payment is None or not (opened or is_admin or is_own(payment, request.identity)):",
        "if payment is None:",
    ),
    _check(
        "all customers' payments are listed",
        f"{PAYMENTS}/queries.py",
        "    return identity.user_id\n",
        "    return None\n",
        LISTS,
    ),
    _check(
        "a payment can be made for another customer's order",
        f"{PAYMENTS}/charges.py",
        "if payable is None or not (payable.open_to_token or (user_id is not None and payable.user_id == user_id)):",
        "if payable is None:",
    ),
    _check(
        "another customer's payment can be confirmed",
        f"{PAYMENTS}/charges.py",
        "if payment is None or not (opened or is_own(payment, request.identity)):",
        "if payment is None:",
    ),
    _check(
        "any token opens a guest's order",
        f"{ORDERS}/domain/access.py",
        "return hmac.compare_digest(self.token_of(order_id).encode(), token.encode())",
        "return bool(token)",
        f"{GUESTS}::test_wrong_token_and_unknown_order_are_refused_alike",
    ),
    _check(
        "a guest's token opens a claimed order",
        f"{ORDERS}/domain/access.py",
        "return user_id is None and email is not None",
        "return email is not None",
        f"{GUESTS}::test_token_ends_with_the_guest",
    ),
    _check(
        "a guest's token opens an erased order",
        f"{ORDERS}/domain/access.py",
        "return user_id is None and email is not None",
        "return user_id is None",
        f"{GUESTS}::test_token_ends_with_the_guest",
    ),
    _check(
        "a wrong token is refused after the order is read",
        f"{ORDERS}/handlers/guest_order_access.py",
        "if request.identity is None and not has_token:",
        "if False:",
        "tests/services/order/test_guest_order_access.py::test_wrong_token_is_refused_before_the_order_is_read",
    ),
    _check(
        "an unknown payment is refused faster than a wrong token",
        f"{PAYMENTS}/order_access.py",
        "opened = await opens_order(deps, payment.order_id if payment else new_id(), request.order_token)",
        "opened = payment is not None and await opens_order(deps, payment.order_id, request.order_token)",
        "tests/services/payment/test_payments_of_guest_orders.py::test_order_is_asked_even_about_a_payment_that_does_not_exist",
    ),
    _check(
        "a stored reply is given to a guest with another token",
        "infra/messaging/request_parsing.py",
        'caller = str(user_id) if user_id else header.get(headers.ORDER_TOKEN, "")',
        'caller = str(user_id) if user_id else ""',
        f"{GUESTS}::test_stored_reply_is_returned_only_to_the_holder_of_the_token",
    ),
    _check(
        "responses about guests' orders are stored in caches",
        "edge/route_handler.py",
        "if caller is None and self._concerns_guest_orders:",
        "if False:",
        f"{GUESTS}::test_responses_about_guest_orders_are_stored_nowhere",
    ),
    _check(
        "a guest's token replaces a sign-in everywhere",
        "contracts/access.py",
        "if has_order_token and operation.open_to_order_tokens:",
        "if has_order_token:",
        ALONE,
    ),
    _check(
        "another customer's cart can be used",
        "services/cart/handlers/cart_access.py",
        "if cart is None or cart.merged_into or cart.user_id not in (None, user_id):",
        "if cart is None or cart.merged_into:",
    ),
    _check(
        "another customer's cart can be merged into the own cart",
        "services/cart/handlers/merge.py",
        "if cart is None or cart.user_id is not None:",
        "if cart is None:",
        "tests/access/test_access_table.py::test_a_customer_s_cart_cannot_be_merged",
    ),
    _check(
        "another customer's address can be replaced",
        ADDRESSES,
        "WHERE account_id = $1 AND id = $2 RETURNING {_COLUMNS}",
        "WHERE $1::uuid IS NOT NULL AND id = $2 RETURNING {_COLUMNS}",
    ),
    _check(
        "another customer's address can be removed",
        ADDRESSES,
        "DELETE FROM address WHERE account_id = $1 AND id = $2",
        "DELETE FROM address WHERE $1::uuid IS NOT NULL AND id = $2",
    ),
    _check(
        "an order can be sent to another customer's address",
        ADDRESSES,
        "SELECT {_COLUMNS} FROM address WHERE account_id = $1 AND id = $2",
        "SELECT {_COLUMNS} FROM address WHERE $1::uuid IS NOT NULL AND id = $2",
    ),
    _check(
        "all customers' addresses are listed",
        ADDRESSES,
        "WHERE account_id = $1 AND id > $2",
        "WHERE $1::uuid IS NOT NULL AND id > $2",
        LISTS,
    ),
    _check(
        "another user's session can be ended",
        SESSIONS,
        "WHERE id = $2 AND account_id = $1 AND revoked_at IS NULL",
        "WHERE id = $2 AND $1::uuid IS NOT NULL AND revoked_at IS NULL",
    ),
    _check(
        "all users' sessions are listed",
        SESSIONS,
        "WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > now() AND id < $2",
        "WHERE $1::uuid IS NOT NULL AND revoked_at IS NULL AND expires_at > now() AND id < $2",
        LISTS,
    ),
    _check(
        "all customers' notifications are listed",
        "services/notification/handlers/queries.py",
        "owner = None if request.user.is_admin else request.user.user_id",
        "owner = None",
        LISTS,
    ),
    _check(
        "services do not check for administrators",
        "infra/messaging/rpc_server.py",
        "return authorize(endpoint.operation, identity, has_order_token=headers.ORDER_TOKEN in header)",
        "return identity",
        ALONE,
    ),
    _check(
        "an API key is not limited by its scopes",
        "contracts/access.py",
        "if operation.scope in (identity.scopes or ()):",
        "if True:",
        "tests/access/test_access_table.py::test_an_api_key_without_the_scope_is_refused",
    ),
    _check(
        "an API key outlives its creator's administrator role",
        "services/user/store/api_keys.py",
        "AND a.is_active AND a.role = 'admin' AND (a.totp OR NOT $2)",
        "AND (a.totp OR NOT $2)",
        "tests/services/user/test_api_keys.py::test_key_is_not_found_when_its_maker_is_no_active_administrator",
    ),
    _check(
        "the edge does not check for administrators",
        "edge/route_handler.py",
        "authorize(self.route.operation, identity, has_order_token=order_token is not None)",
        "pass",
        "tests/edge/test_requests_and_replies.py::test_access_is_refused_before_a_service_is_called",
    ),
    _check("unknown fields are ignored", "contracts/model.py", 'extra="forbid",', 'extra="ignore",', FIELDS),
    _check(
        "an id in the body is ignored",
        "edge/request_parsing.py",
        "if repeated := [name for name in path_values if name in fields]:",
        "if repeated := []:",
        "tests/access/test_mass_assignment.py::test_fields_of_the_edge_are_refused_in_a_body",
    ),
    _check(
        "an identity is trusted in requests of services",
        "infra/messaging/rpc_server.py",
        "if headers.IDENTITY in header and endpoint.operation.access is not Access.SERVICE:",
        "if headers.IDENTITY in header:",
        "tests/access/test_identity_spoofing.py::test_service_operations_do_not_parse_the_identity",
    ),
    _check(
        "every service may send any request",
        "infra/messaging/permissions.py",
        "requests = [operation.subject for operation in operations_for(user)]",
        'requests = ["rpc.>"]',
        "tests/infra/messaging/test_permissions.py::test_permissions_match_the_table",
    ),
    _check(
        "a message published by the server is taken for a request",
        "infra/messaging/rpc_server.py",
        "if not reply.startswith(allowed_prefixes):",
        "if False:",
        "tests/infra/messaging/test_rpc_callers.py::test_stored_message_is_no_request",
    ),
    _check(
        "a refresh token is accepted as an access token",
        "edge/auth/authenticator.py",
        'if claims["typ"] != ACCESS_TOKEN_TYPE:',
        "if False:",
        "tests/edge/test_authenticator.py::test_any_other_token_is_refused",
    ),
    _check(
        "rate limit counts: the signature is not checked",
        "edge/ratelimit/sync.py",
        "if not hmac.compare_digest(signature.encode(), sign_counts(self._password, message.data).encode()):",
        "if False:",
        "tests/edge/test_rate_limits.py::test_counts_that_no_edge_signed_are_ignored",
    ),
)
