"""Hooks that Schemathesis loads: a caller does not ban or delete its own account, which would end the run, and a guest
asks for the order that their token opens, since generated ids name none. No caller opens an event stream, which would
not end: `tests/edge/test_order_event_streams.py` reads those.
"""

import os
import uuid
from typing import Any

import schemathesis

ORDER = os.environ.get("SOUK_FUZZ_ORDER")
SELF = os.environ.get("SOUK_FUZZ_SELF")


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Leaves a guest's token to the guest: a wrong one is a 404, and `ignored_auth` wants 401."""
    if not ORDER:
        for operations in raw_schema["paths"].values():
            for operation in operations.values():
                if isinstance(operation, dict) and "security" in operation:
                    operation["security"] = [way for way in operation["security"] if "order_access" not in way]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if SELF and case.path_parameters and case.path_parameters.get("id") == SELF:
        case.path_parameters["id"] = str(uuid.uuid4())
    if ORDER and case.path.startswith("/api/v1/orders/{") and case.path_parameters.get("id"):
        case.path_parameters["id"] = ORDER
    if case.path == "/api/v1/orders/{id}/events" and case.path_parameters.get("id"):
        case.path_parameters["id"] = str(uuid.uuid4())
    if ORDER and isinstance(case.body, dict) and "order_id" in case.body:
        case.body["order_id"] = ORDER
