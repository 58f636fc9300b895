-- Each parcel of an order has its own mail, and so have units that are cancelled together. A mail of an order that left as a whole, before parcels had ids, counts as
-- that of a parcel with the order's id. Only the consumer of events writes here, so it can wait while the index is built.
ALTER TABLE delivery ADD COLUMN part_id uuid;
COMMENT ON COLUMN delivery.part_id IS 'The parcel or the cancellation that the mail is about; null for the whole order.';
CREATE UNIQUE INDEX delivery_once ON delivery (order_id, kind, channel, coalesce(part_id, order_id));
ALTER TABLE delivery DROP CONSTRAINT delivery_said_once;
