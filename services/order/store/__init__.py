"""The SQL of the order service. Each function runs one statement on the caller's connection."""
