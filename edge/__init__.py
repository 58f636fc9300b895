"""The HTTP edge: maps routes onto requests over NATS and renders the responses."""
