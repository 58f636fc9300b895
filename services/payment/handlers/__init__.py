"""The operations that the payment service answers and the events that it consumes."""
