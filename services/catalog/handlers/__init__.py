"""What the catalog is asked and hears, a function each."""
