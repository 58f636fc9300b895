"""The `souk` command: one module for each subcommand, loaded only when that subcommand runs."""
