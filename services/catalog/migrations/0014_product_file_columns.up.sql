-- What product files say that the shop has no field for, and what a dry run of an import would change.
CREATE TABLE file_column (
    position integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text    NOT NULL CONSTRAINT file_column_name UNIQUE
);
COMMENT ON TABLE file_column IS 'Columns of product files whose cells are kept; an export writes them in this order.';

CREATE TABLE kept_cells (
    product_id uuid  PRIMARY KEY REFERENCES product (id),
    cells      jsonb NOT NULL
);
COMMENT ON TABLE kept_cells IS 'The cells of those columns: of a product, and of its variants by SKU. None of it is served.';

ALTER TABLE import_job ADD COLUMN changes jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN import_job.changes IS 'What a dry run would change: the first products, each with its fields before and after.';
