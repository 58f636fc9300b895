DROP FUNCTION product_words;
DO $$
DECLARE
    configuration regconfig;
BEGIN
    FOR configuration IN
        SELECT oid FROM pg_ts_config WHERE cfgname LIKE 'shop\_%' AND cfgnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('DROP TEXT SEARCH CONFIGURATION %s', configuration);
    END LOOP;
END;
$$;
DROP TABLE synonyms;
DROP TRIGGER category_lineage ON category;
DROP FUNCTION set_lineage;
ALTER TABLE category DROP COLUMN lineage;
DROP FUNCTION add_search_terms;
DROP FUNCTION word_deletions;
DROP TABLE search_deletion, search_word, facet_value;
ALTER TABLE product DROP COLUMN search_version, DROP COLUMN facet_ids;
