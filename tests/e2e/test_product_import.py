"""A product file is imported over HTTP: valid rows become products, an invalid one is reported with its line."""

from typing import Any

import pytest

from infra.foundation.ids import new_id
from tests.support.eventually import eventually
from tests.support.http import HttpClient, HttpResponse, RegisteredCustomer

CSV = {"Content-Type": "text/csv"}
HEADER = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price\n"


def rows(mark: str, second_price: str) -> bytes:
    lines = [
        f"lamp-{mark},Brass lamp,Size,Small,L-{mark}-S,3,19.99",
        f"rug-{mark},Woven rug,Title,Default Title,R-{mark},1,{second_price}",
        f"tea-{mark},Mint tea,Title,Default Title,T-{mark},7,4.50",
    ]
    return (HEADER + "\n".join(lines) + "\n").encode()


async def send(http: HttpClient, body: bytes, headers: dict[str, str] | None = None) -> HttpResponse:
    return await http.post("/products/import", data=body, headers=headers or CSV)


async def wait_until_finished(http: HttpClient, started: HttpResponse) -> dict[str, Any]:
    """The import, once it is done or failed."""

    async def finished() -> dict[str, Any] | None:
        path = started.headers["Location"].removeprefix("/api/v1")
        job: dict[str, Any] = (await http.get(path)).json
        return job if job["status"] in {"done", "failed"} else None

    job = await eventually(finished)
    assert job is not None
    return job


async def test_an_invalid_row_is_reported_and_the_rest_imported(admin_http: HttpClient, http: HttpClient) -> None:
    mark = new_id().hex
    started = await send(admin_http, rows(mark, "a lot"))
    assert started.status == 202, started.body
    job = await wait_until_finished(admin_http, started)
    assert (job["status"], job["created"], [error["line"] for error in job["errors"]]) == ("done", 2, [3])
    lamp = (await http.get(f"/products/lamp-{mark}")).json
    assert [(variant["sku"], variant["price"]["amount"], variant["available"]) for variant in lamp["variants"]] == [
        (f"L-{mark}-S", 1999, 3)
    ]
    assert (await http.get(f"/products/rug-{mark}")).status == 404
    assert (await http.get(f"/products/tea-{mark}")).status == 200


async def test_a_dry_run_creates_nothing(admin_http: HttpClient, http: HttpClient) -> None:
    mark = new_id().hex
    started = await admin_http.post("/products/import?dry_run=true", data=rows(mark, "a lot"), headers=CSV)
    job = await wait_until_finished(admin_http, started)
    assert (job["status"], job["dry_run"], job["created"], len(job["errors"])) == ("done", True, 2, 1)
    assert set(job["errors"][0]) == {"line", "handle", "field", "value", "detail"}
    assert (await http.get(f"/products/lamp-{mark}")).status == 404


async def test_the_same_file_again_changes_nothing(admin_http: HttpClient) -> None:
    body = rows(new_id().hex, "30")
    first = await wait_until_finished(admin_http, await send(admin_http, body))
    again = await wait_until_finished(admin_http, await send(admin_http, body))
    assert (first["created"], again["created"], again["updated"], again["unchanged"]) == (3, 0, 0, 3)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\x00", b"no,header,of,ours\n1,2,3,4\n", b'{"a": 1}', b"\x89PNG\r\n\x1a\n" * 99]
)
async def test_refuses_what_is_not_a_product_file(admin_http: HttpClient, body: bytes) -> None:
    refused = await send(admin_http, body)
    assert (refused.status, refused.code) == (422, "not_csv")


async def test_refuses_other_callers_and_content_types(
    admin_http: HttpClient, customer: RegisteredCustomer, http: HttpClient
) -> None:
    body = rows(new_id().hex, "30")
    assert (await send(http, body)).code == "unauthorized"
    assert (await send(customer.http, body)).code == "forbidden"
    assert (await send(admin_http, body, {"Content-Type": "application/json"})).status == 415
    assert (await admin_http.get(f"/products/import/{new_id()}")).status == 404
