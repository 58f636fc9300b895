"""cart owns the carts of customers and guests, stored in MongoDB, each with an expiry time.

It asks the catalog for current prices and answers the order service with the lines of a checkout. It subscribes to
`OrderPaid` and removes the ordered units from the cart. It publishes no events.
"""
