"""The catalog's SQL statements, and its files in the NATS object store."""
