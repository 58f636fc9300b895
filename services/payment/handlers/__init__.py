"""One function an ask or an event: paying, returning money, reading, hearing of orders."""
