"""The documentation that the edge serves: OpenAPI, and a page that draws it with nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import orjson
from aiohttp import web

from edge.openapi.document import build_openapi

WEB_DIR = Path(__file__).parents[1] / "web"
CACHE_CONTROL = "public, max-age=60"


def documentation_pages() -> Mapping[str, Callable[[], web.Response]]:
    """What is at each path of the documentation."""
    return {"/openapi.json": _description, "/docs": _page}


def _description() -> web.Response:
    headers = {"Content-Type": "application/json", "Cache-Control": CACHE_CONTROL}
    return web.Response(body=_openapi(), headers=headers)


def _page() -> web.Response:
    page, policy = _docs()
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": CACHE_CONTROL,
        "Content-Security-Policy": policy,
    }
    return web.Response(body=page, headers=headers)


@cache
def _openapi() -> bytes:
    return orjson.dumps(build_openapi())


@cache
def _docs() -> tuple[bytes, str]:
    """The page in one piece, and the policy that lets only this style and this script run."""
    style, script = ((WEB_DIR / name).read_text() for name in ("docs.css", "docs.js"))
    page = (WEB_DIR / "docs.html").read_text().replace("/*css*/", style).replace("/*js*/", script)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
