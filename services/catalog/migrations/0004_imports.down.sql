DROP TABLE import_fault;
DROP TABLE import_file;
DROP TABLE import_job;
