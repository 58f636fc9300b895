ALTER TABLE import_job DROP COLUMN changes;
DROP TABLE kept_cells;
DROP TABLE file_column;
