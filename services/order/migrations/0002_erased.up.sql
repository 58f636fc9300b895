-- Orders that were made to tell nothing of who placed them any more; and those of guests, found by their e-mails.
ALTER TABLE orders ADD COLUMN erased_at timestamptz;
CREATE INDEX orders_of_guest ON orders (lower(email), id) WHERE email IS NOT NULL;
