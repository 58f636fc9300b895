"""notification: tells customers by mail what becomes of their orders, and mails the tokens of their accounts.

Owns deliveries: one for each thing that a customer is told about an order, and for each token, queued in the
transaction that hears the event, with what the mail needs to say and no personal data. Where a customer is reached is
asked of user, or of order for a guest, at the moment of sending, and kept nowhere; so is a token.

Hears that an order was placed, paid, cancelled or shipped, and that a token is wanted. Says nothing.
"""
