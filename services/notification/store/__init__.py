"""All SQL of the notification service: one statement per function, on the caller's connection."""
