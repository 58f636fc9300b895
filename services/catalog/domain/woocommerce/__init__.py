"""WooCommerce's product CSV: one row for each product and one for each variation, which names its product."""
