"""The table of routes: complete, and consistent with the contracts."""

import pytest

from contracts import catalog, order, user
from contracts.model import Empty
from contracts.operation import EDGE
from contracts.registry import HEALTH, operations_for
from edge.router import PATH_PARAMETER
from edge.routes import BodyFormat, Route, all_routes

EVERY = list(all_routes())


def _id(entry: tuple[str, Route]) -> str:
    return f"{entry[1].method} {entry[0]}"


def test_every_operation_of_the_edge_has_a_route() -> None:
    served = {route.operation for _, route in EVERY}
    assert served == set(operations_for(EDGE)) - set(HEALTH.values()) - {
        user.FIND_API_KEY,
        catalog.GET_PRODUCTS,
        order.REDEEM_EVENT_STREAM_TICKET,
    }, "the edge calls it without a route"


def test_routes_are_unique() -> None:
    assert len({_id(entry) for entry in EVERY}) == len(EVERY)


@pytest.mark.parametrize("entry", EVERY, ids=_id)
def test_a_route_fits_its_operation(entry: tuple[str, Route]) -> None:
    path, route = entry
    fields = route.operation.request.model_fields
    assert set(PATH_PARAMETER.findall(path)) <= set(fields)
    assert (route.body_format is BodyFormat.NONE) >= (route.method == "GET")
    assert (route.body_format is BodyFormat.NONE) <= (route.method in {"GET", "DELETE"})
    assert (route.method == "GET") == (not route.operation.writes)
    assert ("upload" in fields) == (route.body_format in {BodyFormat.CSV, BodyFormat.IMAGE})
    assert (route.status == 204) <= (route.operation.reply is Empty)
    if "{id}" in route.location:
        assert "id" in route.operation.reply.model_fields
    if route.cache_control:
        assert route.operation.access == "anyone", "a cacheable response must be the same for all callers"
