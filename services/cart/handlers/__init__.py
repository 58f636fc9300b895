"""What can be asked of the cart, and what it hears."""
