"""The SQL of the payment service, on the caller's connection. The simulated gateway has its own."""
