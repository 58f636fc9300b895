"""Everything that the OpenAPI document says, tried on a running shop: what Schemathesis makes of it, through Nginx.

`make fuzz` does it for ten minutes on a shop of its own; `test_fuzz.py` is its short form.
"""
