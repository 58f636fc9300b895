DROP INDEX session_untold;
ALTER TABLE session DROP COLUMN told_at;
