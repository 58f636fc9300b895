"""Where a token is not read, and where a bad one refuses nothing: signing in, and reading what is open to all."""

from typing import Any

import pytest

from contracts import headers, user
from contracts.failure import InvalidToken
from contracts.user import InvalidCredentials
from edge.openapi.document import build_openapi
from edge.openapi.request_examples import EXAMPLE_ID
from edge.routes import API_PREFIX, all_routes
from tests.edge.conftest import StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.http import HttpClient, RegisteredCustomer

SIGN_IN = {
    "/auth/register": user.REGISTER,
    "/auth/login": user.LOGIN,
    "/auth/refresh": user.REFRESH,
    "/auth/logout": user.LOGOUT,
    "/auth/password/forgot": user.FORGOT_PASSWORD,
    "/auth/password/reset": user.RESET_PASSWORD,
    "/auth/email/verify": user.VERIFY_EMAIL,
}
PUBLIC_READS = [
    "/products",
    "/products?limit=2",
    "/products/search?q=lamp",
    "/products/suggest?q=la",
    "/products/brass-lamp",
    "/categories",
    f"/categories/{EXAMPLE_ID}",
    f"/users/erasures/{'A' * 43}",
    "//.well-known/jwks.json",
    f"//images/{EXAMPLE_ID}/320.webp",
]
BAD = {
    "nonsense": "Bearer nonsense",
    "other scheme": "Basic YTpi",
    "empty": "Bearer ",
    "long": "Bearer " + "x" * 5000,
    "bad key": "Bearer souk_nonsense",
    "unknown key": "Bearer souk_" + "k" * 43,
    "forged": f"Bearer {TokenSigner().token(role='admin')}",
    "expired": f"Bearer {TokenSigner().token(exp=1)}",
}


@pytest.mark.parametrize("path", SIGN_IN)
async def test_a_token_is_not_read_where_a_session_begins_or_ends(
    edge: HttpClient, services: StubServices, signer: TokenSigner, path: str
) -> None:
    for sent in (*BAD.values(), f"Bearer {signer.token()}", f"Bearer {signer.token(role='admin')}"):
        before = len(services.requests)
        await edge.post(path, {}, headers={"Authorization": sent})
        assert len(services.requests) == before + 1, "the service was asked, and nothing else"
        assert headers.IDENTITY not in (services.last_request.headers or {})
    assert (services.last_request.subject).startswith("rpc.user.")


def know_no_api_key(services: StubServices) -> None:
    services.respond(
        "user.find_api_key", InvalidToken().to_json(), Nats_Service_Error="invalid_token", Nats_Service_Error_Code="401"
    )


@pytest.mark.parametrize("path", PUBLIC_READS)
async def test_a_bad_token_refuses_no_public_read(edge: HttpClient, services: StubServices, path: str) -> None:
    know_no_api_key(services)
    plain = await edge.get(path)
    assert plain.status == 200
    for sent in BAD.values():
        response = await edge.get(path, headers={"Authorization": sent})
        assert (response.status, response.body) == (200, plain.body)
        assert response.headers["Cache-Control"] == plain.headers["Cache-Control"], "it is nobody's own response"


async def test_a_good_token_is_read_on_a_public_route(
    edge: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    await edge.with_token(signer.token(role="admin")).get("/products")
    assert headers.IDENTITY in (services.last_request.headers or {})


@pytest.mark.parametrize("path", ["/orders", "/users/profile", "/carts/mine", "/carts/c", "/inventory"])
async def test_a_bad_token_refuses_every_other_request(edge: HttpClient, services: StubServices, path: str) -> None:
    know_no_api_key(services)
    for sent in BAD.values():
        response = await edge.get(path, headers={"Authorization": sent})
        assert (response.status, response.code) == (401, "invalid_token")
    assert not [one for one in services.requests if one.subject != user.FIND_API_KEY.subject]


def test_the_document_says_so() -> None:
    document = build_openapi()
    for path, route in all_routes():
        documented: dict[str, Any] = document["paths"].get(path, {}).get(route.method.lower(), {})
        assert (path.removeprefix(API_PREFIX) in SIGN_IN) == (documented.get("security") == []), path


async def test_sessions_begin_and_end_with_an_old_token_in_the_browser(
    http: HttpClient, customer: RegisteredCustomer
) -> None:
    old = http.with_token("an.old.token")
    session = (await old.post("/auth/login", {"email": customer.email, "password": customer.password})).json
    refreshed = await old.post("/auth/refresh", {"refresh_token": session["refresh_token"]})
    assert refreshed.status == 200
    assert (await old.post("/auth/logout", {"refresh_token": refreshed.json["refresh_token"]})).status == 204
    wrong = await old.post("/auth/login", {"email": customer.email, "password": "wrong horse"})
    assert (wrong.status, wrong.code) == (401, InvalidCredentials.code)
