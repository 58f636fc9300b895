"""Server-sent events: the statuses of an order, sent to its followers as they are reached."""
