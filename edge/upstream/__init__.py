"""Calls to services: load shedding, circuit breakers and retries."""
