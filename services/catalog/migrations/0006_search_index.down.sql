ALTER TABLE category DROP COLUMN name_key, DROP COLUMN keyed_name;
ALTER TABLE product
    DROP COLUMN folded_name, DROP COLUMN name_key, DROP COLUMN tag_keys, DROP COLUMN terms, DROP COLUMN indexed_version;
DROP FUNCTION product_terms(text, text, text, text[]);
