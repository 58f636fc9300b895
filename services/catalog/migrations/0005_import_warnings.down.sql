DELETE FROM import_fault WHERE is_warning;
ALTER TABLE import_fault DROP COLUMN is_warning, DROP COLUMN handle, DROP COLUMN field, DROP COLUMN value;
UPDATE import_job SET status = 'failed' WHERE dry_run AND status IN ('queued', 'running');
ALTER TABLE import_job DROP COLUMN warnings, DROP COLUMN dry_run;
