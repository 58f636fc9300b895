"""Decisions about orders: their state machine, prices, numbers, access and events. No I/O, clock or randomness."""
