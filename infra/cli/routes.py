"""`souk routes`: every HTTP route, the subject it is asked on, and who may use it."""

import subprocess
import sys


def routes() -> None:
    """Show every HTTP route and the subject behind it."""
    # The edge owns the table, and infra may not import the edge.
    raise SystemExit(subprocess.run([sys.executable, "-m", "edge.routes"], check=False).returncode)
