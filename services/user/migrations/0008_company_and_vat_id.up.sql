-- The company at a saved address, and its VAT id.
ALTER TABLE address ADD COLUMN company text, ADD COLUMN vat_id text;
