"""All SQL of orders. Each function runs one statement on the caller's connection."""
