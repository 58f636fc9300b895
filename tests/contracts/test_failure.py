"""Failures: their codes and statuses, and their form on the wire."""

import contracts.registry  # noqa: F401 - loads every failure of the contracts
from contracts.failure import Fail, InternalError
from contracts.order import IllegalTransition

STATUS_BY_CODE = {
    "already_paid": 409,
    "already_reviewed": 409,
    "bad_cursor": 400,
    "card_number_refused": 422,
    "cart_changed": 409,
    "cart_empty": 409,
    "cart_full": 409,
    "cart_merged": 409,
    "category_cycle": 409,
    "category_in_use": 409,
    "category_unknown": 422,
    "currency_mismatch": 422,
    "coupon_code_taken": 409,
    "coupon_invalid": 422,
    "cursor_gone": 410,
    "effect_failed": 409,
    "email_required": 422,
    "email_taken": 409,
    "export_changed": 409,
    "export_too_large": 413,
    "forbidden": 403,
    "fulfilment_exceeds_order": 409,
    "gift_card_insufficient": 409,
    "gift_card_invalid": 422,
    "guest_stock_limit": 409,
    "heard_too_soon": 409,
    "hold_mismatch": 409,
    "idempotency_in_progress": 409,
    "idempotency_key_required": 400,
    "idempotency_key_reused": 422,
    "idempotency_key_too_short": 400,
    "illegal_transition": 409,
    "internal_error": 500,
    "invalid": 422,
    "invalid_code": 401,
    "invalid_credentials": 401,
    "invalid_idempotency_key": 400,
    "invalid_proof": 422,
    "invalid_refresh_token": 401,
    "invalid_token": 401,
    "invoice_not_ready": 409,
    "last_admin": 409,
    "malformed": 400,
    "method_not_allowed": 405,
    "not_csv": 422,
    "not_deliverable": 422,
    "not_found": 404,
    "not_payable": 409,
    "not_purchased": 403,
    "not_refundable": 409,
    "out_of_stock": 409,
    "overloaded": 503,
    "payload_too_large": 413,
    "payment_method_unknown": 422,
    "precondition_failed": 412,
    "price_exists": 409,
    "price_list_unknown": 422,
    "refund_exceeds_payment": 409,
    "reply_too_large": 500,
    "scope_missing": 403,
    "second_factor_required": 401,
    "shipping_place_taken": 409,
    "sku_taken": 409,
    "sku_unknown": 404,
    "slug_taken": 409,
    "stock_reserved": 409,
    "tax_rate_overlaps": 409,
    "timed_out": 504,
    "token_reused": 401,
    "too_many_addresses": 409,
    "too_many_api_keys": 409,
    "too_many_attempts": 429,
    "too_many_coupon_attempts": 429,
    "too_many_fulfilments": 409,
    "too_many_gift_card_attempts": 429,
    "too_many_guest_orders": 429,
    "too_many_order_lookups": 429,
    "too_many_order_notes": 409,
    "too_many_requests": 429,
    "totp_off": 409,
    "totp_on": 409,
    "totp_required": 409,
    "unauthorized": 401,
    "unavailable": 503,
    "unreadable_image": 422,
    "unsupported_media_type": 415,
    "variant_in_use": 409,
    "wrong_code": 403,
    "wrong_password": 403,
}
"""Clients branch on these. A code is never renamed or removed; a new failure adds one."""


def test_codes_and_statuses_stay() -> None:
    of_contracts = {code: fail for code, fail in Fail.by_code.items() if fail.__module__.startswith("contracts.")}
    assert {code: int(fail.status) for code, fail in of_contracts.items()} == STATUS_BY_CODE


def test_titles_are_one_line_without_a_full_stop() -> None:
    for fail in Fail.by_code.values():
        title = fail.title()
        assert title
        assert not title.endswith(".")
        assert len(title) < 120, title


def test_failure_round_trip() -> None:
    failure = Fail.from_json(IllegalTransition("it is delivered", retry_after=2).to_json("r-1"))
    assert isinstance(failure, IllegalTransition)
    assert (failure.detail, failure.retry_after) == ("it is delivered", 2)


def test_unknown_failure_is_an_internal_error() -> None:
    body = b'{"title": "Odd", "status": 418, "detail": "odd", "code": "unknown_code"}'
    assert isinstance(Fail.from_json(body), InternalError)
