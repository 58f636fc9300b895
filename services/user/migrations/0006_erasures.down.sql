DROP TABLE erasure;
ALTER TABLE account DROP COLUMN erasing;
