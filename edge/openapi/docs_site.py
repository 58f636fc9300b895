"""The documentation that the edge serves: OpenAPI, and a page that draws it with nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import orjson
from aiohttp import web

from edge.openapi.document import openapi

WEB = Path(__file__).parents[1] / "web"
KEPT = "public, max-age=60"


def documents() -> Mapping[str, Callable[[], web.Response]]:
    """What is at each path of the documentation."""
    return {"/openapi.json": _description, "/docs": _page}


def _description() -> web.Response:
    headers = {"Content-Type": "application/json", "Cache-Control": KEPT}
    return web.Response(body=_openapi(), headers=headers)


def _page() -> web.Response:
    page, policy = _docs()
    headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": KEPT, "Content-Security-Policy": policy}
    return web.Response(body=page, headers=headers)


@cache
def _openapi() -> bytes:
    return orjson.dumps(openapi())


@cache
def _docs() -> tuple[bytes, str]:
    """The page in one piece, and the policy that lets only this style and this script run."""
    style, script = ((WEB / name).read_text() for name in ("docs.css", "docs.js"))
    page = (WEB / "docs.html").read_text().replace("/*css*/", style).replace("/*js*/", script)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
