"""Fuzzing: Schemathesis tries everything in the OpenAPI document on a running shop, through Nginx.

`make fuzz` runs for ten minutes on a shop of its own; `test_fuzz.py` is the short form.
"""
