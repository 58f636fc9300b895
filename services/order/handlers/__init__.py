"""The operations that the order service answers and the events that it consumes."""
