"""What the catalog decides, without looking anywhere."""
