"""Requests and events over NATS: connection, topology, permissions, and both sides of RPC and events."""
