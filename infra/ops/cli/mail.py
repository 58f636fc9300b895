"""`souk mail`: the mails that the local shop has sent. They are stored in files and never delivered."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.ops.cli.options import DataOption
from infra.ops.cli.running_stack import find_data_dir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.mail_files import ReceivedMail, delete_mails, list_mails, read_mail


def mail(
    number: Annotated[
        int | None, typer.Argument(help="Show this mail instead of the list.", show_default=False)
    ] = None,
    data: DataOption = None,
    *,
    last: Annotated[bool, typer.Option("--last", help="Show the newest mail.")] = False,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Only mails to this address.")] = "",
    delete: Annotated[bool, typer.Option("--delete", help="Delete the mails to the address of --to.")] = False,
    forget: Annotated[bool, typer.Option("--forget", hidden=True)] = False,
) -> None:
    """List the mails that the local shop has sent, show one, or delete those to an address.

    Example: souk mail --last --to ada@example.com
    """
    folder, console = find_data_dir(data).mail_dir, Console(highlight=False)
    if delete or forget:
        if not to:
            raise StackError("Choose the mails to delete with --to ADDRESS.")
        count = delete_mails(folder, to=to)
        console.print(f"Deleted {count} mail{'s' * (count != 1)} to {to}.")
        return
    if number is not None:
        shown = read_mail(folder, number)
        if shown is None:
            raise StackError(f"There is no mail {number}. Find its number with `souk mail`.")
        _print_mail(shown, console)
        return
    found = list_mails(folder, to=to)
    if not found:
        raise StackError(f"No mail has been sent to {to} yet." if to else "No mail has been sent yet.")
    if last:
        _print_mail(found[-1], console)
    else:
        console.print(_mail_table(found))


def _mail_table(mails: list[ReceivedMail]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("No", "When", "To", "Subject"):
        table.add_column(title, justify="right" if title == "No" else "left")
    for one in mails:
        table.add_row(str(one.number), f"{one.received_at.astimezone():%H:%M:%S}", Text(one.to), Text(one.subject))
    return table


def _print_mail(mail: ReceivedMail, console: Console) -> None:
    for name, value in mail.headers:
        console.print(f"{name}: {value}", style="dim", markup=False, soft_wrap=True)
    console.print()
    console.print(mail.text or mail.html, markup=False, soft_wrap=True)
