-- Whose request an answer was given to, so that it can be forgotten with them before its day is over.
ALTER TABLE idempotency ADD COLUMN owner uuid;
