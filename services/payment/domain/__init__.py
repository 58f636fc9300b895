"""Decisions about payments: values in, values or failures out. No I/O, clock or randomness."""
