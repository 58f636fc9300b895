"""catalog owns products with their variants, categories, prices, pictures and search, and their stock with its holds.

It hears that orders were paid (a hold becomes a sale) and cancelled (stock returns). It says when products come, change
and go, when stock is adjusted, and when a hold was lost: ran out, or could not be had again for an order paid late.
"""
