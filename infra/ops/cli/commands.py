"""The table of `souk` subcommands. The module of a subcommand is imported only when it runs, so `souk` starts fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from infra.ops.cli.options import PLAIN, WIDE

RUN, FILL, OPERATE, DEPLOY, DEVELOP = "Run a shop here", "Fill it", "Operate it", "Deploy it", "Develop"


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Where a subcommand is defined (`module:function` in this package), and how `souk --help` lists it."""

    target: str
    summary: str
    panel: str = ""
    is_alias: bool = False
    """An old name. It works for one more release and is not listed."""


COMMANDS: Mapping[str, CommandEntry] = MappingProxyType(
    {
        "up": CommandEntry("up:up", "Start the whole shop and keep it running.", RUN),
        "down": CommandEntry("stack:down", "Stop the shop that runs on the data folder.", RUN),
        "status": CommandEntry("stack:status", "Show every process, its port and its state.", RUN),
        "logs": CommandEntry("logs:logs", "Show and filter the logs of servers, services and edges.", RUN),
        "mail": CommandEntry("mail:mail", "List or show the mails that the shop has sent.", RUN),
        "demo": CommandEntry("demo:demo", "Buy something from the running shop and show what happens.", RUN),
        "seed": CommandEntry("seed:seed_command", "Load the demo catalog into a running shop.", FILL),
        "import": CommandEntry("import_products:import_command", "Import products from a CSV file.", FILL),
        "export": CommandEntry("export_products:export_command", "Export all products to a CSV file.", FILL),
        "starter-set": CommandEntry(
            "starter_tax_and_shipping:starter_set", "Load tax rates and shipping zones to begin with.", FILL
        ),
        "verify": CommandEntry(
            "verify:verify", "Check the invariants over all stores, streams and the gateway.", OPERATE
        ),
        "dlq": CommandEntry("dlq:dlq", "List, show, replay or drop dead letters.", OPERATE),
        "replay": CommandEntry("event_replay:replay", "Deliver a service's past events to it once more.", OPERATE),
        "keys": CommandEntry("keys:keys", "Rotate the keys that sign access tokens.", OPERATE),
        "migrate": CommandEntry("migrate:migrate", "Apply or revert database migrations.", OPERATE),
        "provision": CommandEntry("provision:provision", "Create the streams, consumers and users of NATS.", OPERATE),
        "compose-secrets": CommandEntry(
            "compose_setup:compose_secrets", "Create passwords, keys and a certificate for Docker Compose.", DEPLOY
        ),
        "init-servers": CommandEntry("compose_setup:init_servers", "Prepare empty servers for the services.", DEPLOY),
        "bootstrap": CommandEntry(
            "compose_setup:bootstrap", "Create the administrator and load the demo catalog.", DEPLOY
        ),
        "routes": CommandEntry("routes:routes", "List every HTTP route, its subject and its access rule.", DEVELOP),
        "docs": CommandEntry("docs:docs", "Generate OpenAPI, AsyncAPI, the access table and the diagram.", DEVELOP),
        "audit": CommandEntry("verify:verify", "Run `verify`.", is_alias=True),
        "secrets": CommandEntry("compose_setup:compose_secrets", "Run `compose-secrets`.", is_alias=True),
        "prepare": CommandEntry("compose_setup:init_servers", "Run `init-servers`.", is_alias=True),
        "furnish": CommandEntry("compose_setup:bootstrap", "Run `bootstrap`.", is_alias=True),
    }
)


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Imports the module of a subcommand and returns the command it defines."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    target = getattr(import_module(f"infra.ops.cli.{module}"), attribute)
    if not isinstance(target, typer.Typer):
        single = typer.Typer(add_completion=False, **PLAIN)
        single.command(name, context_settings=WIDE)(target)
        target = single
    command = typer.main.get_command(target)
    assert isinstance(command, TyperCommand | TyperGroup)
    return command


class LazyGroup(TyperGroup):
    """Lists subcommands from the table and loads only the one that runs."""

    def __init__(self, **settings: Any) -> None:  # Any: Typer's own keyword arguments, passed on
        super().__init__(**settings)
        for name, entry in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=entry.summary, hidden=entry.is_alias)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Any: Typer's types are private
        """Writes the subcommands for `souk --help`, grouped by purpose."""
        for panel in dict.fromkeys(entry.panel for entry in COMMANDS.values() if not entry.is_alias):
            with formatter.section(panel):
                formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items() if entry.panel == panel])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replaces the listed entry by the command itself. Any: Typer's context type is private."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else None, rest


app = typer.Typer(name="souk", cls=LazyGroup, no_args_is_help=True, context_settings=WIDE, **PLAIN)


def _print_version(requested: bool) -> None:  # noqa: FBT001 - the value of a flag
    if requested:
        typer.echo(f"souk {metadata.version('souk')}")
        raise typer.Exit


@app.callback()
def souk(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Run, fill and operate Souk, a shop built of services on NATS.

    Example: souk up
    """
