"""All SQL of the user service: one statement per function, on the caller's connection."""
