"""What the user service does in the background."""
