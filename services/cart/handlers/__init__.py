"""One function for each operation and event that the cart handles."""
