"""OpenAPI links: from a response to the routes that take the id in it.

The home of a resource is the path that ends in its id: an `Order` is at home at `/orders/{id}`. A response with an
order, be it new, changed or listed, links to all routes at or below that path.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from edge.router import PATH_PARAMETER
from edge.routes import Route

Link = dict[str, Any]


class ResponseLinks:
    """The links of all routes. `routes` have their full paths; `operation_ids` are those of the routes."""

    def __init__(self, routes: Sequence[tuple[str, Route]], operation_ids: Mapping[Route, str]) -> None:
        self._routes = routes
        self._operation_ids = operation_ids
        homes = [(route.operation.reply, path) for path, route in routes if _is_home(path, route)]
        self._homes: dict[type, str] = dict(reversed(homes))

    def for_route(self, route: Route) -> dict[str, Link]:
        """Returns links to what a client can do next with the response of a route, by operation id."""
        resource, pointer = _resource_in(route.operation.reply)
        kinds = resource.__mro__ if resource is not None else ()
        home = next((self._homes[kind] for kind in kinds if kind in self._homes), None)
        if resource is None or home is None or route.content_type != "application/json":
            return {}
        return dict(self._links_below(home, resource, pointer, route))

    def _links_below(
        self, home: str, resource: type[BaseModel], pointer: str, route: Route
    ) -> Iterator[tuple[str, Link]]:
        shape = PATH_PARAMETER.sub("{}", home)
        for path, target in self._routes:
            if target is route or not f"{PATH_PARAMETER.sub('{}', path)}/".startswith(f"{shape}/"):
                continue
            ids = PATH_PARAMETER.findall(path)
            if len(ids) > len(PATH_PARAMETER.findall(home)):
                continue  # it needs another id, which the response does not have
            parameter = ids[-1]
            field = parameter if parameter in resource.model_fields else "id"
            operation_id = self._operation_ids[target]
            parameters = {parameter: f"$response.body#{pointer}/{field}"}
            yield operation_id, {"operationId": operation_id, "parameters": parameters}


def _is_home(path: str, route: Route) -> bool:
    """Whether the path ends in the id of the resource in the response."""
    last = PATH_PARAMETER.fullmatch(path.rpartition("/")[2])
    return last is not None and bool({last[1], "id"} & route.operation.reply.model_fields.keys())


def _resource_in(reply: type[BaseModel]) -> tuple[type[BaseModel] | None, str]:
    """The resource in a response and the JSON pointer to it: the response itself, or the first item of a list."""
    fields = reply.model_fields
    if "items" not in fields or "id" in fields:
        return reply, ""
    (item,) = get_args(fields["items"].annotation)
    return (item, "/items/0") if isinstance(item, type) and issubclass(item, BaseModel) else (None, "")
