DROP INDEX account_role;
ALTER TABLE refresh_token DROP COLUMN successor;
ALTER TABLE session DROP COLUMN used_at;
ALTER TABLE session DROP COLUMN address;
DROP TABLE address;
DROP TABLE counted_request;
DROP TABLE forgotten;
DROP TABLE proof;
