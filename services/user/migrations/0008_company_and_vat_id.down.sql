ALTER TABLE address DROP COLUMN company, DROP COLUMN vat_id;
