"""Rate limits by customer and by address, shared by all edges."""
