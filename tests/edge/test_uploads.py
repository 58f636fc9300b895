"""Uploads: through the edge into the object store, and refused where they will not do."""

import hashlib
import io

import aiohttp
import orjson
import pytest

from tests.edge.conftest import StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.http import HttpClient

ID = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"


async def _kept(backs: StubServices, name: str) -> bytes:
    store = await backs.client.jetstream().object_store("UPLOADS")
    found = await store.get(name)
    return found.data or b""


async def test_a_csv_is_kept_under_its_digest(edge: HttpClient, backs: StubServices, signer: TokenSigner) -> None:
    admin = edge.with_token(signer.token(role="admin"))
    content = b"Handle,Title\n" + b"x" * 3_000_000
    for _ in range(2):
        said = {"Content-Type": "text/csv"}
        answered = await admin.post("/products/import", data=io.BytesIO(content), headers=said)
        assert (answered.status, answered.headers["Location"]) == (202, "/api/v1/products/import/7")
    name = hashlib.sha256(content).hexdigest()
    assert [orjson.loads(ask.data) for ask in backs.requests] == [{"upload": name}] * 2
    assert await _kept(backs, name) == content


async def test_a_picture_comes_in_a_form(edge: HttpClient, backs: StubServices, signer: TokenSigner) -> None:
    admin = edge.with_token(signer.token(role="admin"))
    form = aiohttp.FormData({"alt": "A lamp"})
    form.add_field("image", b"\x89PNG...", filename="lamp.png", content_type="image/png")
    answered = await admin.post(f"/products/{ID}/images", data=form)
    assert answered.status == 201, answered.body
    name = hashlib.sha256(b"\x89PNG...").hexdigest()
    assert orjson.loads(backs.last_request.data) == {"id": ID, "upload": name, "alt": "A lamp"}
    assert await _kept(backs, name) == b"\x89PNG..."


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"alt": "no picture"}, 422),
        ({"upload": "the-name-of-another-s-file"}, 422),
        ({"alt": "x" * 5000, "image": "x"}, 413),
        ({"id": ID, "image": "x"}, 422),
    ],
)
async def test_a_form_that_will_not_do(
    edge: HttpClient, backs: StubServices, signer: TokenSigner, fields: dict[str, str], status: int
) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    answered = await edge.with_token(signer.token(role="admin")).post(f"/products/{ID}/images", data=form)
    assert answered.status == status, answered.body
    assert not backs.requests


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=b", "image/png"])
async def test_a_form_that_is_none(edge: HttpClient, backs: StubServices, signer: TokenSigner, kind: str) -> None:
    admin = edge.with_token(signer.token(role="admin"))
    answered = await admin.post(f"/products/{ID}/images", data=b"nonsense", headers={"Content-Type": kind})
    assert answered.status in {400, 415}


@pytest.mark.parametrize("name", [b'name="\xff"', b'name="a\x7f"', b'name=""'])
async def test_a_part_whose_name_cannot_be_read(
    edge: HttpClient, backs: StubServices, signer: TokenSigner, name: bytes
) -> None:
    body = b"--b\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n7\r\n--b--\r\n"
    admin = edge.with_token(signer.token(role="admin"))
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answered = await admin.post(f"/products/{ID}/images", data=body, headers=kind)
    assert (answered.status, answered.code) == (400, "malformed")
    assert not backs.requests


async def test_no_form_at_all(edge: HttpClient, backs: StubServices, signer: TokenSigner) -> None:
    answered = await edge.with_token(signer.token(role="admin")).post(f"/products/{ID}/images")
    assert (answered.status, answered.json["errors"][0]["pointer"]) == (422, "/image")
    assert not backs.requests


async def test_a_picture_over_the_limit(edge: HttpClient, backs: StubServices, signer: TokenSigner) -> None:
    form = aiohttp.FormData()
    form.add_field("image", io.BytesIO(b"x" * (10 * 1024 * 1024 + 1)), filename="a.png")
    answered = await edge.with_token(signer.token(role="admin")).post(f"/products/{ID}/images", data=form)
    assert (answered.status, answered.code) == (413, "payload_too_large")
