"""`souk verify`: checks the invariants over all stores while the shop is running.

Each service offers, in its `checks.py`, facts (a few columns of its rows) and checks that its own store can answer. The
facts of all services and of the streams go into one temporary SQLite file. A check over several stores is a query on
it, so memory does not grow with the shop.

There are no false alarms, although no two stores are read at the same moment, for four reasons:

- The read order makes every confirmation newer than what it confirms: first the consumer positions, then the stores
  (each in one snapshot: catalog, order, payment, then the services that only consume), then the streams up to their
  ends, then the inboxes.
- A missed effect counts only if the event is known to have been applied: it is below the consumer's acknowledgement
  floor and in the inbox. An event that is still on its way excuses everything that waits for it.
- Whatever is on its way has a deadline of its own: an outbox row, an unacknowledged event, a charge, a refund, a mail,
  a hold. Past the deadline that alone is the violation, of invariant 2, and not also everything that waits for it.
- A suspected violation is checked again. It counts only if every pass over a number of seconds finds exactly the same.
  What disappears was no violation, and what changes is still on its way.

For the same reasons one fault is reported once: each link of a chain (state, event, inbox, effect, next state) is
checked by itself, against the link before it.
"""
