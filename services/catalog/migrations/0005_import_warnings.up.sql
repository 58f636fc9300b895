-- What an import tells about a row: to which product and column it belongs, with the value, and whether the row was
-- imported all the same.
ALTER TABLE import_fault
    ADD COLUMN is_warning boolean NOT NULL DEFAULT false,
    ADD COLUMN handle     text    NOT NULL DEFAULT '',
    ADD COLUMN field      text    NOT NULL DEFAULT '',
    ADD COLUMN value      text    NOT NULL DEFAULT '';
ALTER TABLE import_job
    ADD COLUMN warnings integer NOT NULL DEFAULT 0,
    ADD COLUMN dry_run  boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN import_job.faults IS 'Rows that were not imported; only the first of them are kept as import_fault.';
COMMENT ON COLUMN import_job.warnings IS 'Values that were changed or left out; only the first of them are kept.';
COMMENT ON COLUMN import_job.dry_run IS 'Each product is written and rolled back, to report what an import would do.';
