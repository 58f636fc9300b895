-- The list of one status, the newest first: without it 1,000,000 orders are read backwards until enough have the status.
CREATE INDEX orders_by_status ON orders (status, id);
