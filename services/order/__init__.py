"""The order service: orders, their state machine, and the saga that takes every order to a final state.

It owns orders: what was bought, at which price, by whom, where it goes, and every status it has had. The buyer and the
address are erased on request.

It asks cart for the content of a cart, user for a saved address or an account's e-mail, catalog to price and hold the
lines (or to release a hold), and payment to charge.

It consumes: payment captured, failed and refunded; hold lost.

It publishes: order placed, paid, shipped (for each parcel), delivered, cancelled (as a whole, or units of it) and
refunded; claimed by a customer; and asked for by a guest, to whom a link is mailed.
"""
