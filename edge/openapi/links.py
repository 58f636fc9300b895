"""Where an answer leads: OpenAPI links from what was made or found to every route that takes its id.

A thing is at home where the path ends in its id: an `Order` at `/orders/{id}`. Whoever answers with an order, be it
made, changed or listed, leads to all routes below that.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from edge.router import PATH_PARAMETER
from edge.routes import Route

Link = dict[str, Any]


class ResponseLinks:
    """`names` are the operation ids of the routes."""

    def __init__(self, every: Sequence[tuple[str, Route]], names: Mapping[Route, str]) -> None:
        self._every = every
        self._names = names
        self._homes = dict(reversed([(route.operation.reply, path) for path, route in every if _is_home(path, route)]))

    def for_route(self, route: Route) -> dict[str, Link]:
        """What can be done next with what this route answers, by the name of the operation."""
        thing, pointer = _thing(route.operation.reply)
        home = self._homes.get(thing) if thing is not None else None
        if thing is None or home is None or route.content_type != "application/json":
            return {}
        return dict(self._below(home, thing, pointer, route))

    def _below(self, home: str, thing: type[BaseModel], pointer: str, route: Route) -> Iterator[tuple[str, Link]]:
        shape = PATH_PARAMETER.sub("{}", home)
        for path, target in self._every:
            if target is route or not f"{PATH_PARAMETER.sub('{}', path)}/".startswith(f"{shape}/"):
                continue
            parameter = PATH_PARAMETER.findall(path)[len(PATH_PARAMETER.findall(home)) - 1]
            field = parameter if parameter in thing.model_fields else "id"
            name = self._names[target]
            yield name, {"operationId": name, "parameters": {parameter: f"$response.body#{pointer}/{field}"}}


def _is_home(path: str, route: Route) -> bool:
    """A path that ends in the id of what is answered there."""
    last = PATH_PARAMETER.fullmatch(path.rpartition("/")[2])
    return last is not None and bool({last[1], "id"} & route.operation.reply.model_fields.keys())


def _thing(reply: type[BaseModel]) -> tuple[type[BaseModel] | None, str]:
    """What an answer holds, and where in it: itself, or the first of a list."""
    fields = reply.model_fields
    if "items" not in fields or "id" in fields:
        return reply, ""
    (listed,) = get_args(fields["items"].annotation)
    return (listed, "/items/0") if isinstance(listed, type) and issubclass(listed, BaseModel) else (None, "")
