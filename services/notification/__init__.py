"""notification: mails customers about their orders, and mails the tokens of their accounts.

The service owns deliveries: one for each notice about an order and one for each mailed token. A delivery is queued in
the transaction that applies the event and holds what the mail says, without personal data. The recipient's name and
e-mail are requested when the mail is sent, from user, or from order for a guest, and are stored nowhere; nor is a
token.

It subscribes to orders that were placed, paid, shipped, cancelled (as a whole, or units of it), claimed or asked for,
and to requests for tokens. It publishes nothing.
"""
