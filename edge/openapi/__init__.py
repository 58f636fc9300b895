"""The documentation of the HTTP API, made from the contracts and the table of routes."""
