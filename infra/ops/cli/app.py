"""The `souk` command: a list of what it can do."""

import sys

import typer
from rich.console import Console

from infra.ops.cli import compose as deploy
from infra.ops.cli import demo, dlq, docs, keys, migrate, provision, replay, routes, seed, stack, up
from infra.ops.cli import import_products as importing
from infra.ops.cli import verify as audit
from infra.ops.devstack.errors import StackError

app = typer.Typer(
    name="souk",
    help="Souk: a shop of message-driven services. `souk up` starts it all.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(stack.logs)
app.command()(stack.mail)
app.command()(provision.provision)
app.command()(migrate.migrate)
app.command("seed")(seed.seed_command)
app.command("import")(importing.import_command)
app.command()(audit.audit)
app.add_typer(dlq.dlq, name="dlq")
app.command()(replay.replay)
app.add_typer(keys.keys, name="keys")
app.command()(demo.demo)
app.command()(routes.routes)
app.command()(docs.docs)
app.command()(deploy.secrets)
app.command()(deploy.prepare)
app.command()(deploy.furnish)


def main() -> None:
    try:
        app()
    except StackError as error:
        console = Console(stderr=True, highlight=False)
        for line in error.lines:
            console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
        console.print(error.message, style="bold red", markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
