ALTER TABLE orders DROP COLUMN fulfilments, DROP COLUMN cancellations;
DROP FUNCTION fulfilments_fit;
DROP TABLE fulfilment;
