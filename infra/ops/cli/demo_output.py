"""Prints the demo as it happens: one line for each HTTP request, event and mail."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

ICONS: Mapping[str, tuple[str, str]] = {
    "http": ("→", "cyan"),
    "event": ("●", "magenta"),
    "mail": ("✉", "yellow"),
    "check": ("✓", "green"),
    "fail": ("✗", "bold red"),
}


class Timeline:
    """Prints lines with the milliseconds since its creation, a symbol for the kind, and a note."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._begun = time.monotonic()

    def title(self, text: str) -> None:
        """Prints a heading."""
        self.console.print()
        self.console.print(text, style="bold")

    def add(self, kind: str, what: str, note: str = "") -> None:
        """Prints one line."""
        icon, colour = ICONS[kind]
        line = Text.assemble(
            (f"{(time.monotonic() - self._begun) * 1000:7.0f} ms  ", "dim"),
            (f"{icon} ", colour),
            (f"{what:<54}", colour if kind in ("event", "fail") else ""),
            (f"  {note}", "dim" if kind != "check" else "green"),
        )
        self.console.print(line, soft_wrap=True)

    def quote(self, text: str) -> None:
        """Prints text below the line before, indented."""
        for line in text.strip().splitlines():
            self.console.print(Text(f"             │ {line}", "dim"), soft_wrap=True)
