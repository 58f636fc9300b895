"""The catalog's rules, as pure functions on values."""
