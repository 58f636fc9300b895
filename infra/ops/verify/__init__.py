"""The audit: do the laws hold over all stores, while the shop sells?

Each service offers, in its `audit.py`, facts (a few columns of its rows) and checks that its own store can answer.
The facts of all, and what the streams hold, go into one temporary SQLite file; a law about several stores is a query
of it, and memory does not grow with the shop.

There are no false alarms, although no two stores are ever read at the same moment, for four reasons:

- What a look compares was read in an order in which what is said can only be older than what proves it: how far each
  consumer has come, then the stores (each in one snapshot: catalog, order, payment, those who only listen), then the
  streams up to their ends, and then what was heard. So of a sound order, only the proof can be newer.
- A missed effect is one only where its event is known to have been heard: below the consumer's floor of acknowledged
  events, and in the inbox. An event that is still on its way excuses everything that waits for it.
- What is on its way has a deadline of its own: a row in the outbox, an event not acknowledged, a charge, a refund, a
  mail, a hold. Past it, that alone is the violation, by law 2, and not also all that it keeps waiting.
- Whatever looks wrong is looked at again. It counts only if it was seen in every look of so many seconds, word for word
  the same; what goes away was nothing, and what changes is on its way.

For the same reasons one fault is found once: each link of a chain (state, event, inbox, effect, the next state) is
checked by itself, against the link before it.
"""
