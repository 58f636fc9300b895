"""What an order may become, what it costs, whose it is and what is said of it: decisions only."""
