"""The order service: orders, their state machine, and the saga that takes every order to a final state.

It owns orders: what was bought, at which price, by whom, where it goes, and every status it has had. The buyer and the
address are erased on request.

It asks cart for the content of a cart, user for a saved address, catalog to price and hold the lines (or to release a
hold), and payment to charge.

It consumes: payment captured, failed and refunded; hold lost.

It publishes: order placed, paid, shipped, delivered, cancelled and refunded.
"""
