"""The operations of the user service, grouped by subject; each handler is named after its operation."""
