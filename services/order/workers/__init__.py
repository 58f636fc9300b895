"""The saga of an order, and what the order service does in the background."""
