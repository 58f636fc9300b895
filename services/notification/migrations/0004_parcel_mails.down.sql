DELETE FROM delivery AS later USING delivery AS earlier
WHERE later.order_id = earlier.order_id AND later.kind = earlier.kind AND later.channel = earlier.channel
    AND later.id > earlier.id;
ALTER TABLE delivery ADD CONSTRAINT delivery_said_once UNIQUE (order_id, kind, channel);
DROP INDEX delivery_once;
ALTER TABLE delivery DROP COLUMN part_id;
