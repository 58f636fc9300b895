"""What the notification service does in the background."""
