"""The rules of a cart, as pure functions on values."""
