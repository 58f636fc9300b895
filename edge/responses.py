"""How answers leave: a reply's bytes as the service wrote them, or a problem; and the headers beside them."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from aiohttp import web

from contracts import headers
from contracts.failure import Fail
from edge.etags import etag, unchanged
from edge.ratelimit.policies import Allowance
from edge.routes import BASE, Route

PROBLEM = "application/problem+json"
PRIVATE = "private, no-cache"
"""May be kept by the client's own cache, which asks every time whether it still holds."""
UNKEPT = "no-store"
_CHALLENGE = 'Bearer realm="souk"'


def problem(fail: Fail, request_id: str) -> web.Response:
    """The answer of a request that the edge itself refuses."""
    return failed(fail.body(request_id), fail.status, code=fail.code, retry_after=fail.retry_after)


def failed(body: bytes, status: int, *, code: str, retry_after: float | None) -> web.Response:
    response = web.Response(body=body, status=status, headers={"Content-Type": PROBLEM, "Cache-Control": UNKEPT})
    if status == 401:  # noqa: PLR2004
        error = ', error="invalid_token"' if code == "invalid_token" else ""
        response.headers["WWW-Authenticate"] = _CHALLENGE + error
    if retry_after is None and status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after = 1
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after)))
    return response


def say_limits(response: web.StreamResponse, allowance: Allowance) -> None:
    """What is left to the caller, unless a cache may keep the answer for others. A service's own throttle says when to
    come again: until then nothing is left.
    """
    said = response.headers
    if said.get("Cache-Control", "").startswith("public"):
        return
    if response.status == HTTPStatus.TOO_MANY_REQUESTS and not allowance.wait:
        allowance = allowance._replace(remaining=0, reset=int(said.get("Retry-After", allowance.reset)))
    said.update(allowance.headers())


def _may_be_known(route: Route) -> bool:
    return route.method == "GET" and not route.live


def answered(
    route: Route, body: bytes, found: Mapping[str, str], *, if_none_match: str | None, personal: bool
) -> web.Response:
    """The answer to what a service replied."""
    if headers.ERROR_CODE in found:
        return _with_replayed(_refused(body, found), found)
    said = {"Cache-Control": route.cache if route.cache and not personal else UNKEPT}
    if headers.VERSION in found:
        said["ETag"] = etag(found[headers.VERSION])
        said["Cache-Control"] = said["Cache-Control"] if said["Cache-Control"] != UNKEPT else PRIVATE
        if _may_be_known(route) and if_none_match is not None and unchanged(if_none_match, found[headers.VERSION]):
            return web.Response(status=304, headers=said)
    if route.cache:
        said["Vary"] = "Authorization"
    if route.location:
        said["Location"] = _location(route, body)
    if route.status == 204:  # noqa: PLR2004
        return _with_replayed(web.Response(status=204, headers=said), found)
    said["Content-Type"] = found.get(headers.CONTENT_TYPE, route.produces)
    return _with_replayed(web.Response(body=body, status=route.status, headers=said), found)


def _refused(body: bytes, found: Mapping[str, str]) -> web.Response:
    retry_after = orjson.loads(body).get("retry_after")
    return failed(body, int(found[headers.ERROR_CODE]), code=found.get(headers.ERROR, ""), retry_after=retry_after)


def _with_replayed(response: web.Response, found: Mapping[str, str]) -> web.Response:
    if headers.REPLAYED in found:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _location(route: Route, body: bytes) -> str:
    if "{id}" not in route.location:
        return BASE + route.location
    return BASE + route.location.format(id=orjson.loads(body)["id"])
