-- Which ended sessions the edges have been told of: their access tokens live on for a while.
ALTER TABLE session ADD COLUMN told_at timestamptz;
CREATE INDEX session_untold ON session (revoked_at) WHERE revoked_at IS NOT NULL AND told_at IS NULL;
