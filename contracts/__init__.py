"""The published language of Souk: its operations, events and failures.

No other package writes down a subject, a message body or a failure. This package depends on pydantic alone, so another
team can install it without the rest of Souk. `registry` lists every operation and event. The edge's routes, OpenAPI,
AsyncAPI, the streams and the NATS permissions are derived from it.
"""
