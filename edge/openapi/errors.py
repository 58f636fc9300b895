"""The error responses of the HTTP API. Routes that fail in the same ways share one response."""

from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus

from contracts.failure import (
    Fail,
    IdempotencyKeyRequired,
    IdempotencyKeyTooShort,
    InvalidIdempotencyKey,
    InvalidToken,
    MalformedRequest,
    NotFound,
    PayloadTooLarge,
    Problem,
    TooManyRequests,
    UnsupportedMediaType,
)
from edge.openapi.headers import RATE_LIMIT_HEADERS, header_refs
from edge.openapi.request_examples import EXAMPLE_ID
from edge.openapi.schemas import Schema
from edge.responses import PROBLEM_CONTENT_TYPE
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route
from infra.contract_tools.json_schema import SCHEMA_REF

MAX_CODES_IN_NAME = 3

FailureSet = tuple[type[Fail], ...]


class ErrorResponses:
    """The shared error responses, by the failures that they describe. `operation_ids` are those of all routes."""

    def __init__(self, operation_ids: Mapping[Route, str]) -> None:
        users: dict[FailureSet, list[str]] = defaultdict(list)
        for route, operation_id in operation_ids.items():
            for failures in _by_status(route).values():
                users[failures].append(operation_id)
        self._names = {failures: _response_name(failures, names) for failures, names in users.items()}
        assert len(set(self._names.values())) == len(self._names), "two error responses have the same name"

    def for_route(self, route: Route) -> dict[str, Schema]:
        """Returns references to the error responses of a route, by status."""
        return {
            str(status): {"$ref": f"#/components/responses/{self._names[failures]}"}
            for status, failures in sorted(_by_status(route).items())
        }

    def components(self) -> dict[str, Schema]:
        """Returns the responses for `components/responses`."""
        return {name: _error_response(failures) for failures, name in sorted(self._names.items(), key=lambda i: i[1])}

    def examples(self) -> dict[str, Schema]:
        """Returns an example of each failure for `components/examples`."""
        failures = {failure for failures in self._names for failure in failures}
        return {failure.code: {"value": _example(failure)} for failure in sorted(failures, key=lambda one: one.code)}


def failures_for_route(route: Route) -> frozenset[type[Fail]]:
    """Returns every failure that a request of this route can end in, raised by the service or by the edge."""
    failures = {*route.operation.all_failures(), MalformedRequest, TooManyRequests}
    if not (route.operation.ignores_tokens or route.operation.is_public):
        failures.add(InvalidToken)
    if PATH_PARAMETER.search(route.path):
        failures.add(NotFound)
    if route.body_format is not BodyFormat.NONE:
        failures |= {PayloadTooLarge, UnsupportedMediaType}
    if route.method == "POST":
        failures.add(InvalidIdempotencyKey)
        if route.operation.open_to_guests:
            failures.add(IdempotencyKeyTooShort)
    if route.moves_money:
        failures.add(IdempotencyKeyRequired)
    return frozenset(failures)


def _by_status(route: Route) -> dict[int, FailureSet]:
    by_status: dict[int, FailureSet] = {}
    for failure in sorted(failures_for_route(route), key=lambda one: one.code):
        by_status[int(failure.status)] = (*by_status.get(int(failure.status), ()), failure)
    return by_status


def _response_name(failures: FailureSet, operation_ids: list[str]) -> str:
    """`NotFoundOrSkuUnknown`; a response with many codes is named after the first operation: `OrderPlaceConflict`."""
    if len(failures) <= MAX_CODES_IN_NAME:
        return "Or".join(_camel(failure.code) for failure in failures)
    return _camel(operation_ids[0]) + HTTPStatus(failures[0].status).phrase.title().replace(" ", "")


def _camel(text: str) -> str:
    return "".join(word.title() for word in text.split("_"))


def _error_response(failures: FailureSet) -> Schema:
    """Describes all failures with one status, with an example of each code.

    The codes stand beside the reference, where validators see them and no client generator makes a model of them.
    """
    codes = {"enum": [failure.code for failure in failures]}
    media = {
        "schema": {"$ref": SCHEMA_REF.format(model=Problem.__name__), "properties": {"code": codes}},
        "examples": {failure.code: {"$ref": f"#/components/examples/{failure.code}"} for failure in failures},
    }
    text = "\n".join(f"* `{failure.code}` {failure.title()}" for failure in failures)
    return {
        "description": text,
        **({"headers": header_refs(*RATE_LIMIT_HEADERS)} if TooManyRequests in failures else {}),
        "content": {PROBLEM_CONTENT_TYPE: media},
    }


def _example(failure: type[Fail]) -> Schema:
    return failure().to_problem(EXAMPLE_ID).model_dump(mode="json", exclude_none=True)
