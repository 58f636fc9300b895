"""Uploads: stored in the object store by the edge, or refused."""

import hashlib
import io

import aiohttp
import orjson
import pytest

from tests.edge.conftest import StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.http import HttpClient

ID = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"


async def _stored(services: StubServices, name: str) -> bytes:
    store = await services.client.jetstream().object_store("UPLOADS")
    stored = await store.get(name)
    return stored.data or b""


async def test_a_csv_is_stored_under_its_digest(edge: HttpClient, services: StubServices, signer: TokenSigner) -> None:
    admin = edge.with_token(signer.token(role="admin"))
    content = b"Handle,Title\n" + b"x" * 3_000_000
    for _ in range(2):
        headers = {"Content-Type": "text/csv"}
        response = await admin.post("/products/import", data=io.BytesIO(content), headers=headers)
        assert (response.status, response.headers["Location"]) == (202, "/api/v1/products/import/7")
    name = hashlib.sha256(content).hexdigest()
    assert [orjson.loads(request.data) for request in services.requests] == [{"upload": name}] * 2
    assert await _stored(services, name) == content


async def test_a_csv_has_its_options_in_the_query(
    edge: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    admin = edge.with_token(signer.token(role="admin"))
    headers = {"Content-Type": "text/csv; charset=windows-1252"}
    response = await admin.post("/products/import?dry_run=true", data=b"x", headers=headers)
    assert response.status == 202, response.body
    sent = orjson.loads(services.last_request.data)
    assert sent == {"upload": hashlib.sha256(b"x").hexdigest(), "dry_run": True}
    for query, pointer in (("dry_run=maybe", "/dry_run"), ("dry=1", "/dry"), ("upload=x", "/upload")):
        refused = await admin.post(f"/products/import?{query}", data=b"x", headers=headers)
        assert (refused.status, [error["pointer"] for error in refused.json["errors"]]) == (400, [pointer])
    form = await admin.post(f"/products/{ID}/images?alt=x", data=b"x", headers={"Content-Type": "multipart/form-data"})
    assert form.status == 400


async def test_an_image_is_stored_from_a_form(edge: HttpClient, services: StubServices, signer: TokenSigner) -> None:
    admin = edge.with_token(signer.token(role="admin"))
    form = aiohttp.FormData({"alt": "A lamp"})
    form.add_field("image", b"\x89PNG...", filename="lamp.png", content_type="image/png")
    response = await admin.post(f"/products/{ID}/images", data=form)
    assert response.status == 201, response.body
    name = hashlib.sha256(b"\x89PNG...").hexdigest()
    assert orjson.loads(services.last_request.data) == {"id": ID, "upload": name, "alt": "A lamp"}
    assert await _stored(services, name) == b"\x89PNG..."


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"alt": "no image"}, 422),
        ({"upload": "the-name-of-another-s-file"}, 422),
        ({"alt": "x" * 5000, "image": "x"}, 413),
        ({"id": ID, "image": "x"}, 422),
    ],
)
async def test_invalid_forms_are_refused(
    edge: HttpClient, services: StubServices, signer: TokenSigner, fields: dict[str, str], status: int
) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    response = await edge.with_token(signer.token(role="admin")).post(f"/products/{ID}/images", data=form)
    assert response.status == status, response.body
    assert not services.requests


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=b", "image/png"])
async def test_a_body_that_is_not_a_form_is_refused(
    edge: HttpClient, services: StubServices, signer: TokenSigner, content_type: str
) -> None:
    admin = edge.with_token(signer.token(role="admin"))
    response = await admin.post(f"/products/{ID}/images", data=b"nonsense", headers={"Content-Type": content_type})
    assert response.status in {400, 415}


@pytest.mark.parametrize("name", [b'name="\xff"', b'name="a\x7f"', b'name=""'])
async def test_a_part_with_an_unreadable_name_is_refused(
    edge: HttpClient, services: StubServices, signer: TokenSigner, name: bytes
) -> None:
    body = b"--b\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n7\r\n--b--\r\n"
    admin = edge.with_token(signer.token(role="admin"))
    content_type = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await admin.post(f"/products/{ID}/images", data=body, headers=content_type)
    assert (response.status, response.code) == (400, "malformed")
    assert not services.requests


async def test_a_missing_form_is_refused(edge: HttpClient, services: StubServices, signer: TokenSigner) -> None:
    response = await edge.with_token(signer.token(role="admin")).post(f"/products/{ID}/images")
    assert (response.status, response.json["errors"][0]["pointer"]) == (422, "/image")
    assert not services.requests


async def test_an_image_over_the_limit_is_refused(
    edge: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    form = aiohttp.FormData()
    form.add_field("image", io.BytesIO(b"x" * (10 * 1024 * 1024 + 1)), filename="a.png")
    response = await edge.with_token(signer.token(role="admin")).post(f"/products/{ID}/images", data=form)
    assert (response.status, response.code) == (413, "payload_too_large")
