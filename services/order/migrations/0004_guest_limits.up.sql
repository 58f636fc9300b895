-- How many orders guests may place from one address and for one e-mail: a bucket that refills continuously.
CREATE TABLE guest_order_bucket (
    key     bytea       PRIMARY KEY,
    full_at timestamptz NOT NULL
) WITH (fillfactor = 70);
COMMENT ON COLUMN guest_order_bucket.key IS 'A keyed hash of the address or e-mail, which cannot be read from it.';
COMMENT ON COLUMN guest_order_bucket.full_at IS 'When the bucket is full again; then the row means nothing and is deleted.';
CREATE INDEX guest_order_bucket_full ON guest_order_bucket (full_at);
