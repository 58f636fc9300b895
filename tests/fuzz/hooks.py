"""Hooks that Schemathesis loads: a caller does not ban or delete its own account, which would end the run."""

import os
import uuid
from typing import Any

import schemathesis

SELF = os.environ.get("SOUK_FUZZ_SELF")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if SELF and case.path_parameters and case.path_parameters.get("id") == SELF:
        case.path_parameters["id"] = str(uuid.uuid4())
