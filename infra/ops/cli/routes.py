"""`souk routes`: every HTTP route, the subject behind it, and the outcome for each kind of caller."""

import typer

from contracts.access import CallerKind, access_rules
from edge.routes import all_routes


def routes() -> None:
    """List every HTTP route, the subject that it calls, and what each kind of caller gets.

    Example: souk routes | grep orders
    """
    kinds = "".join(f"{kind.value:<20}" for kind in CallerKind)
    typer.echo(f"{'':<8}{'':<47}{'':<31}{'about':<15}{kinds}".rstrip())
    for path, route in all_routes():
        for rule in access_rules(route.operation):
            resource = rule.resource.name if rule.resource else ""
            outcomes = "".join(f"{rule.describe(kind):<20}" for kind in CallerKind)
            typer.echo(f"{route.method:<8}{path:<47}{route.operation.subject:<31}{resource:<15}{outcomes}".rstrip())
