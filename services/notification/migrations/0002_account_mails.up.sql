-- Mails that carry the token of an account, and are about no order.
ALTER TABLE delivery ALTER COLUMN order_id DROP NOT NULL;
ALTER TABLE delivery ADD COLUMN proof_id uuid;
ALTER TABLE delivery ADD CONSTRAINT delivery_about CHECK ((order_id IS NULL) <> (proof_id IS NULL)) NOT VALID;
ALTER TABLE delivery VALIDATE CONSTRAINT delivery_about;
CREATE UNIQUE INDEX delivery_mailed_once ON delivery (proof_id, channel) WHERE proof_id IS NOT NULL;
