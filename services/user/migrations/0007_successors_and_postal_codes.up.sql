-- Finds the sealed successors to erase after the grace period. The first runs of the cleanup take those of the past.
CREATE INDEX refresh_token_sealed ON refresh_token (spent_at) WHERE successor IS NOT NULL;

-- Not every country has postal codes.
ALTER TABLE address ALTER COLUMN postal_code DROP NOT NULL;
