"""The events and operations of the notification service."""
