"""catalog owns products with their variants, categories, prices, images and search, and their stock with its holds.

It subscribes to `OrderPaid`, which turns a hold into a sale, `OrderCancelled`, which returns the stock, and
`OrderUnitsCancelled`, which returns a part of it. It publishes when a product is created, updated or deactivated, when
stock is adjusted, and when a hold is lost: it expired, or its order was paid too late and the stock was gone.
"""
