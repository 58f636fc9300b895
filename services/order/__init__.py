"""order: orders, their state machine, and the saga that takes each of them from placed to an end.

Owns orders: what was bought at which price, by whom, where it goes, and every state it was in. By whom and where are
erased when somebody asks for that.

Asks cart what is in a cart, catalog to price and hold the lines (or to give a hold back), payment to charge.

Hears that a payment was captured, failed or was refunded, and that a hold was lost.

Says that an order was placed, paid, shipped, delivered, cancelled or refunded.
"""
