"""Chaos tests: load under faults, crashes at every failpoint, full disks, overload and rolling restarts."""
