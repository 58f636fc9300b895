"""payment: takes the money of orders and gives it back, once.

Owns payments, refunds, the gateways and the double-entry ledger. Hears that an order was placed (and charges it) or
cancelled (and reverses what was taken). Says that a payment was captured, failed, needs an action, was refunded.

Nothing is asked of a gateway inside a transaction. What is to be done stands in a table (`attempt`, `refund`) before it
is tried, each under an id that is the gateway's idempotency key, so that a process may die anywhere: the next one takes
it up, asks again under the same key, and settles it in one transaction of payment, ledger and outbox.
"""
