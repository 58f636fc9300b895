-- Product files that come in as jobs. The runner of a job shows that it lives; a job without a sign of life is taken up
-- again, from the product after the last one that came in.
CREATE TABLE import_job (
    id         uuid        PRIMARY KEY,
    status     text        NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed')),
    who        uuid,
    rows       integer     NOT NULL DEFAULT 0,
    products   integer     NOT NULL DEFAULT 0,
    variants   integer     NOT NULL DEFAULT 0,
    created    integer     NOT NULL DEFAULT 0,
    updated    integer     NOT NULL DEFAULT 0,
    unchanged  integer     NOT NULL DEFAULT 0,
    faults     integer     NOT NULL DEFAULT 0,
    attempts   integer     NOT NULL DEFAULT 0,
    alive_at   timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
COMMENT ON COLUMN import_job.rows IS 'Rows that are done with, wholly: where the job goes on.';
CREATE INDEX import_job_open ON import_job (id) WHERE status IN ('queued', 'running');

CREATE TABLE import_file (
    job_id  uuid  PRIMARY KEY REFERENCES import_job (id),
    content bytea NOT NULL
);
ALTER TABLE import_file ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE import_fault (
    id     bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid    NOT NULL REFERENCES import_job (id),
    line   integer NOT NULL,
    detail text    NOT NULL
);
CREATE INDEX import_fault_by_job ON import_fault (job_id, id);
