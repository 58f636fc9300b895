"""Background tasks of the catalog."""
