"""The cart's MongoDB statements."""
