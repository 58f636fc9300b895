"""The published language of Souk: what can be asked, what can be heard, and how either can fail.

Nothing outside this package writes down a subject, a message body or a failure. It depends on pydantic alone, so that
another team can install it by itself. `registry` gathers every module; the edge's routes, OpenAPI, AsyncAPI, the
streams and the NATS permissions are derived from there.
"""
