"""Decisions of the user service: values in, values or a `Fail` out, without I/O."""
