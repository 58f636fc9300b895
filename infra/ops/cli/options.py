"""Options and settings that several subcommands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
"""Settings of each Typer application. Typer's tables cut long names off in a terminal of 60 columns."""
WIDE: dict[str, Any] = {"max_content_width": 120}
"""Lets help use up to 120 columns instead of 80."""

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data folder of the local shop (SOUK_DATA; default .souk)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
UrlOption = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Use the shop at this address. SOUK_ADMIN_EMAIL and SOUK_ADMIN_PASSWORD name its administrator.",
    ),
]
