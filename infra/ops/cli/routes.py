"""`souk routes`: every HTTP route, the subject it is asked on, and what becomes of whoever uses it."""

import subprocess
import sys


def routes() -> None:
    """Show every HTTP route, the subject behind it, and who may use it."""
    # The edge owns the table, and infra may not import the edge.
    raise SystemExit(subprocess.run([sys.executable, "-m", "edge.routes"], check=False).returncode)
