"""All SQL of the user service: one statement a function, on the caller's connection."""
