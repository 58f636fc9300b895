"""Shopify's product CSV: a row a variant or a picture, the rows of one product side by side, under one handle."""
