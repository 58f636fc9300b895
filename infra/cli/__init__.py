"""The `souk` command."""
