"""The payment service: charges orders and refunds them, each exactly once.

It owns payments, refunds, the gateways, gift cards and the double-entry ledger. It consumes: order placed (and charges
it), order cancelled (and reverses what was charged), units of an order cancelled (and refunds them), order claimed (and
makes its payments the customer's). It publishes: payment captured, failed, action required and refunded.

No gateway is called inside a transaction. Pending work is stored in a table (`attempt`, `refund`) before it is tried,
under an id that is the gateway's idempotency key. So a process may die at any point: another one claims the work, calls
the gateway again under the same key, and settles the result in one transaction of payment, ledger and outbox.
"""
