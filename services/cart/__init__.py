"""cart: what a customer or a guest is about to buy.

Owns carts, in MongoDB, each with an end. Asks the catalog what its lines cost now. Answers the order service with the
lines an order is made from, hears `OrderPlaced` and takes out what was ordered. Says nothing itself.
"""
