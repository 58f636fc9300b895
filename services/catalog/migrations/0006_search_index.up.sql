-- Search, tags and the order of names, without regard to accents and case. PostgreSQL is built without ICU and unaccent, so
-- the service folds texts and makes sort keys. The indexer does so for the rows that were written before or by an older
-- release: their indexed_version is not their version.
CREATE FUNCTION product_terms(name text, tags text, description text, exact text[]) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN setweight(to_tsvector('english', name), 'A') || setweight(to_tsvector('simple', name), 'A')
        || setweight(to_tsvector('english', tags), 'B') || setweight(to_tsvector('english', description), 'D')
        || array_to_tsvector(exact);
COMMENT ON FUNCTION product_terms IS 'Simple as well as English for the name, because it may consist of stop words.';

ALTER TABLE product
    ADD COLUMN folded_name     text     NOT NULL DEFAULT '',
    ADD COLUMN name_key        bytea    NOT NULL DEFAULT '',
    ADD COLUMN tag_keys        text[]   NOT NULL DEFAULT '{}',
    ADD COLUMN terms           tsvector NOT NULL DEFAULT '',
    ADD COLUMN indexed_version integer  NOT NULL DEFAULT 0;
-- Every search reads it for the rank, so it stays in the row; the old column and the description leave first.
ALTER TABLE product ALTER COLUMN terms SET STORAGE MAIN;
COMMENT ON COLUMN product.name_key IS 'Sorts the name by Unicode collation, with numbers by their value.';
COMMENT ON COLUMN product.tag_keys IS 'What tells each of the tags apart, in their order; empty for a repeated one.';
COMMENT ON COLUMN product.indexed_version IS 'The version that the columns above were made from.';
CREATE INDEX product_by_name_key ON product (name_key, id) WHERE is_active;
CREATE INDEX product_by_tag_key ON product USING gin (tag_keys);
CREATE INDEX product_terms ON product USING gin (terms);
CREATE INDEX product_folded_words ON product USING gin (to_tsvector('simple', folded_name));
CREATE INDEX product_to_index ON product (id) WHERE indexed_version <> version;

ALTER TABLE category
    ADD COLUMN name_key   bytea NOT NULL DEFAULT '',
    ADD COLUMN keyed_name text  NOT NULL DEFAULT '';
COMMENT ON COLUMN category.keyed_name IS 'The name that name_key was made from.';
CREATE INDEX category_by_name_key ON category (name_key, id);
CREATE INDEX category_to_index ON category (id) WHERE keyed_name <> name;
