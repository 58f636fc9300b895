"""Decisions of the notification service, without I/O."""
