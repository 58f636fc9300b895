"""One function for each operation and event that the catalog handles."""
