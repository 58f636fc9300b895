"""The documentation that the edge serves: OpenAPI, AsyncAPI, and a page of the API that loads nothing from outside."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import orjson
from aiohttp import web

from edge.etags import is_not_modified
from edge.openapi.document import build_openapi
from edge.request_context import RequestContext
from infra.contract_tools.asyncapi import build_asyncapi

WEB_DIR = Path(__file__).parents[1] / "web"
CACHE_CONTROL = "public, max-age=60"
OPEN_CORS_HEADERS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag"}
"""The documents are public, so tools in a browser may read them from any origin."""
HASH_DIGITS_IN_ETAG = 32


class Document(NamedTuple):
    """A file of the documentation, as it is sent."""

    body: bytes
    headers: dict[str, str]
    etag: str


def documentation_pages() -> Mapping[str, Callable[[RequestContext], web.Response]]:
    """Returns the handler of each path of the documentation."""
    documents = {"/openapi.json": _openapi, "/asyncapi.json": _asyncapi, "/docs": _page}
    return {path: _responder(load) for path, load in documents.items()}


def _responder(load: Callable[[], Document]) -> Callable[[RequestContext], web.Response]:
    def respond(context: RequestContext) -> web.Response:
        document = load()
        headers = {"Cache-Control": CACHE_CONTROL, "ETag": document.etag, **document.headers}
        if is_not_modified(context.header_lines("If-None-Match"), document.etag):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=document.body, headers=headers)

    return respond


@cache
def _openapi() -> Document:
    return _document(orjson.dumps(build_openapi()), {"Content-Type": "application/json", **OPEN_CORS_HEADERS})


@cache
def _asyncapi() -> Document:
    return _document(orjson.dumps(build_asyncapi()), {"Content-Type": "application/json", **OPEN_CORS_HEADERS})


@cache
def _page() -> Document:
    """The page in one file, with a policy that runs only this style and this script."""
    style, script = ((WEB_DIR / name).read_text() for name in ("docs.css", "docs.js"))
    page = (WEB_DIR / "docs.html").read_text().replace("/*css*/", style).replace("/*js*/", script)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return _document(page.encode(), {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy})


def _document(body: bytes, headers: dict[str, str]) -> Document:
    return Document(body, headers, f'"{hashlib.sha256(body).hexdigest()[:HASH_DIGITS_IN_ETAG]}"')


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
