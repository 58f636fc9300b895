"""Builds HTTP responses: a service's reply with its bytes unchanged, or a problem (RFC 9457), and their headers."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson
from aiohttp import web

from contracts import headers
from contracts.failure import Fail
from edge.etags import format_etag, is_not_modified
from edge.ratelimit.policies import Allowance
from edge.routes import API_PREFIX, ORDER_ACCESS_HEADER, Route

PROBLEM_CONTENT_TYPE = "application/problem+json"
PRIVATE_CACHE = "private, no-cache"
"""Only the client's own cache may keep the response, and must revalidate it every time."""
NO_STORE = "no-store"
SERVER_ERROR = 500
"""The first status of the server's own errors. A constant of `HTTPStatus` costs a function call each time."""
_NO_CONTENT, _MOVED_PERMANENTLY, _NOT_MODIFIED, _UNAVAILABLE = 204, 301, 304, 503
_CHALLENGE = 'Bearer realm="souk"'


def problem_response(fail: Fail, request_id: str) -> web.Response:
    """Returns the response to a request that the edge itself refuses."""
    return failure_response(fail.to_json(request_id), fail.status, code=fail.code, retry_after=fail.retry_after)


def failure_response(body: bytes, status: int, *, code: str, retry_after: float | None) -> web.Response:
    """Returns a problem with the headers of its status. `retry_after` is in seconds; a 503 always has one."""
    response = web.Response(
        body=body, status=status, headers={"Content-Type": PROBLEM_CONTENT_TYPE, "Cache-Control": NO_STORE}
    )
    if status == HTTPStatus.UNAUTHORIZED:
        error = ', error="invalid_token"' if code == "invalid_token" else ""
        response.headers["WWW-Authenticate"] = _CHALLENGE + error
    if retry_after is None and status == _UNAVAILABLE:
        retry_after = 1
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after)))
    return response


def set_rate_limit_headers(response: web.StreamResponse, allowance: Allowance) -> None:
    """Adds what is left of the caller's limit, unless a shared cache may keep the response. When a service refused
    the request by a throttle of its own, nothing is left until its `Retry-After`.
    """
    response_headers = response.headers
    if response_headers.get("Cache-Control", "").startswith("public"):
        return
    if response.status == HTTPStatus.TOO_MANY_REQUESTS and not allowance.is_refused:
        reset_seconds = int(response_headers.get("Retry-After", allowance.reset_seconds))
        allowance = allowance._replace(remaining=0, reset_seconds=reset_seconds)
    response_headers.update(allowance.headers())


def build_response(
    route: Route,
    body: bytes,
    reply_headers: Mapping[str, str],
    *,
    if_none_match: Sequence[str],
    is_personal: bool,
    etag: str | None = None,
) -> web.Response:
    """Returns the response for a service's reply. `is_personal`: the caller is known, so no shared cache keeps it.

    `etag` is the reply's, if it is known already.
    """
    if headers.ERROR_CODE in reply_headers:
        response = _error_response(body, reply_headers)
    else:
        if etag is None and (version := reply_headers.get(headers.VERSION)) is not None:
            etag = format_etag(version, body)
        response = _success_response(route, body, reply_headers, etag, if_none_match, is_personal=is_personal)
    if headers.REPLAYED in reply_headers and response.status != _NOT_MODIFIED:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def forbid_storing(response: web.Response) -> None:
    """Keeps a response about a guest's order out of every cache: a secret in the request or the response opens it."""
    response.headers["Cache-Control"] = NO_STORE
    response.headers["Vary"] = f"Authorization, {ORDER_ACCESS_HEADER}"


def _error_response(body: bytes, reply_headers: Mapping[str, str]) -> web.Response:
    status, code = int(reply_headers[headers.ERROR_CODE]), reply_headers.get(headers.ERROR, "")
    return failure_response(body, status, code=code, retry_after=orjson.loads(body).get("retry_after"))


def _success_response(
    route: Route,
    body: bytes,
    reply_headers: Mapping[str, str],
    etag: str | None,
    if_none_match: Sequence[str],
    *,
    is_personal: bool,
) -> web.Response:
    response_headers = {"Cache-Control": route.cache_control if route.cache_control and not is_personal else NO_STORE}
    if route.cache_control:
        response_headers["Vary"] = "Authorization"
    if (moved_to := reply_headers.get(headers.MOVED_TO)) is not None:
        response_headers["Location"] = API_PREFIX + route.path.format(key=moved_to)
        return web.Response(status=_MOVED_PERMANENTLY, headers=response_headers)
    if etag is not None:
        response_headers["ETag"] = etag
        if response_headers["Cache-Control"] == NO_STORE:
            response_headers["Cache-Control"] = PRIVATE_CACHE
        if route.method == "GET" and if_none_match and is_not_modified(if_none_match, etag):
            return web.Response(status=_NOT_MODIFIED, headers=response_headers)
    if route.location:
        response_headers["Location"] = _location(route, body)
    if route.status == _NO_CONTENT:
        return web.Response(status=_NO_CONTENT, headers=response_headers)
    response_headers["Content-Type"] = reply_headers.get(headers.CONTENT_TYPE, route.content_type)
    return web.Response(body=body, status=route.status, headers=response_headers)


def _location(route: Route, body: bytes) -> str:
    if "{id}" not in route.location:
        return API_PREFIX + route.location
    return API_PREFIX + route.location.format(id=orjson.loads(body)["id"])
