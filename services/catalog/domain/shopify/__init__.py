"""Shopify's product CSV: one row for each variant or image; the rows of a product share a handle and stand together."""
