"""How answers leave: a reply's bytes as the service wrote them, or a problem; and the headers beside them."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from aiohttp import web

from contracts import headers
from contracts.failure import Fail
from edge.etags import format_etag, is_not_modified
from edge.ratelimit.policies import Allowance
from edge.routes import API_PREFIX, Route

PROBLEM_CONTENT_TYPE = "application/problem+json"
PRIVATE_CACHE = "private, no-cache"
"""May be kept by the client's own cache, which asks every time whether it still holds."""
NO_STORE = "no-store"
_CHALLENGE = 'Bearer realm="souk"'


def problem_response(fail: Fail, request_id: str) -> web.Response:
    """The answer of a request that the edge itself refuses."""
    return failure_response(fail.to_json(request_id), fail.status, code=fail.code, retry_after=fail.retry_after)


def failure_response(body: bytes, status: int, *, code: str, retry_after: float | None) -> web.Response:
    response = web.Response(
        body=body, status=status, headers={"Content-Type": PROBLEM_CONTENT_TYPE, "Cache-Control": NO_STORE}
    )
    if status == 401:  # noqa: PLR2004
        error = ', error="invalid_token"' if code == "invalid_token" else ""
        response.headers["WWW-Authenticate"] = _CHALLENGE + error
    if retry_after is None and status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after = 1
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after)))
    return response


def set_rate_limit_headers(response: web.StreamResponse, allowance: Allowance) -> None:
    """What is left to the caller, unless a cache may keep the answer for others. A service's own throttle says when to
    come again: until then nothing is left.
    """
    said = response.headers
    if said.get("Cache-Control", "").startswith("public"):
        return
    if response.status == HTTPStatus.TOO_MANY_REQUESTS and not allowance.wait_seconds:
        allowance = allowance._replace(remaining=0, reset_seconds=int(said.get("Retry-After", allowance.reset_seconds)))
    said.update(allowance.headers())


def _may_be_known(route: Route) -> bool:
    return route.method == "GET" and not route.is_unversioned


def build_response(
    route: Route, body: bytes, reply_headers: Mapping[str, str], *, if_none_match: str | None, is_personal: bool
) -> web.Response:
    """The answer to what a service replied."""
    if headers.ERROR_CODE in reply_headers:
        return _with_replayed(_refused(body, reply_headers), reply_headers)
    said = {"Cache-Control": route.cache_control if route.cache_control and not is_personal else NO_STORE}
    if headers.VERSION in reply_headers:
        said["ETag"] = format_etag(reply_headers[headers.VERSION])
        said["Cache-Control"] = said["Cache-Control"] if said["Cache-Control"] != NO_STORE else PRIVATE_CACHE
        if (
            _may_be_known(route)
            and if_none_match is not None
            and is_not_modified(if_none_match, reply_headers[headers.VERSION])
        ):
            return web.Response(status=304, headers=said)
    if route.cache_control:
        said["Vary"] = "Authorization"
    if route.location:
        said["Location"] = _location(route, body)
    if route.status == 204:  # noqa: PLR2004
        return _with_replayed(web.Response(status=204, headers=said), reply_headers)
    said["Content-Type"] = reply_headers.get(headers.CONTENT_TYPE, route.content_type)
    return _with_replayed(web.Response(body=body, status=route.status, headers=said), reply_headers)


def _refused(body: bytes, found: Mapping[str, str]) -> web.Response:
    retry_after = orjson.loads(body).get("retry_after")
    return failure_response(
        body, int(found[headers.ERROR_CODE]), code=found.get(headers.ERROR, ""), retry_after=retry_after
    )


def _with_replayed(response: web.Response, found: Mapping[str, str]) -> web.Response:
    if headers.REPLAYED in found:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _location(route: Route, body: bytes) -> str:
    if "{id}" not in route.location:
        return API_PREFIX + route.location
    return API_PREFIX + route.location.format(id=orjson.loads(body)["id"])
