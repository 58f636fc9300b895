DELETE FROM delivery WHERE proof_id IS NOT NULL;
DROP INDEX delivery_mailed_once;
ALTER TABLE delivery DROP CONSTRAINT delivery_about;
ALTER TABLE delivery DROP COLUMN proof_id;
ALTER TABLE delivery ALTER COLUMN order_id SET NOT NULL;
