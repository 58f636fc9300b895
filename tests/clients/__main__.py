"""`make clients`: generated clients against a new shop."""

import asyncio
import logging
import sys

from tests.clients.client_run import ClientStepError, run_all_clients


def main() -> None:
    """Runs every step; exits with 1 at the first that fails."""
    logging.disable(logging.WARNING)
    try:
        asyncio.run(run_all_clients(_print_line))
    except ClientStepError as error:
        _print_line(f"FAILED {error}")
        raise SystemExit(1) from None


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
