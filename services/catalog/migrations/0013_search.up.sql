-- Facets of attributes and options, words with one typo, synonyms, and the languages that products are searched in.

-- A tag, attribute or option is a number, so that counting and filtering compare no texts: see domain/facets.py.
ALTER TABLE product
    ADD COLUMN facet_ids      bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN search_version integer  NOT NULL DEFAULT 0;
COMMENT ON COLUMN product.facet_ids IS 'Its tags and attributes and the options of its variants, as ids of facet_value.';
COMMENT ON COLUMN product.search_version IS 'The version that facet_ids and terms were made from. Older releases do not set it.';
CREATE INDEX product_by_facet ON product USING gin (facet_ids);
CREATE INDEX product_to_search ON product (id) WHERE search_version <> version;

-- These tables only grow, and a row may be there twice: so that two products with the same new word or value, each in a
-- transaction of its own, do not wait for each other.
CREATE TABLE facet_value (
    id    bigint           NOT NULL,
    name  text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL
);
CREATE INDEX facet_value_by_id ON facet_value (id, name, value);
COMMENT ON TABLE facet_value IS 'How tags, attributes and options are written: all spellings of each.';

CREATE TABLE search_word (word text COLLATE "C" NOT NULL);
CREATE INDEX search_word_by_word ON search_word (word);
COMMENT ON TABLE search_word IS 'Words of products that a mistyped word may stand for.';
CREATE TABLE search_deletion (
    deletion text COLLATE "C" NOT NULL,
    word     text COLLATE "C" NOT NULL
);
CREATE INDEX search_deletion_by_deletion ON search_deletion (deletion, word);
COMMENT ON TABLE search_deletion IS 'The words by what is left of them when one of their first letters is missing.';

-- Words that one typo turns into each other share one of these: a typo inserts, leaves out, replaces or swaps letters.
CREATE FUNCTION word_deletions(word text) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(word, 7) UNION
    SELECT overlay(left(word, 7) PLACING '' FROM place FOR 1) FROM generate_series(1, least(length(word), 7)) AS place
$$;

CREATE FUNCTION add_search_terms(words text[], ids bigint[], names text[], texts text[]) RETURNS void
    LANGUAGE sql SET plan_cache_mode = force_generic_plan AS $$
    WITH added AS (
        INSERT INTO search_word (word)
        SELECT w.word FROM unnest(words) AS w (word)
        WHERE NOT EXISTS (SELECT FROM search_word known WHERE known.word = w.word)
        RETURNING word
    )
    INSERT INTO search_deletion (deletion, word)
    SELECT deletion, added.word FROM added CROSS JOIN LATERAL word_deletions(added.word) AS deletion;

    INSERT INTO facet_value (id, name, value)
    SELECT v.id, v.name, v.value FROM unnest(ids, names, texts) AS v (id, name, value)
    WHERE NOT EXISTS (
        SELECT FROM facet_value known WHERE (known.id, known.name, known.value) = (v.id, v.name, v.value)
    );
$$;

-- The slugs of a category and of all above it, for facets. What refreshes breadcrumbs refreshes them: slugs are in both.
ALTER TABLE category ADD COLUMN lineage text[] NOT NULL DEFAULT '{}';
WITH RECURSIVE tree AS (
    SELECT c.id, ARRAY[c.slug] AS lineage FROM category c WHERE c.parent_id IS NULL
    UNION ALL
    SELECT c.id, tree.lineage || c.slug FROM category c JOIN tree ON tree.id = c.parent_id
)
UPDATE category c SET lineage = tree.lineage FROM tree WHERE tree.id = c.id;
CREATE FUNCTION set_lineage() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above text[];
BEGIN
    SELECT parent.lineage INTO above FROM category parent WHERE parent.id = new.parent_id FOR SHARE;
    new.lineage := coalesce(above, '{}') || new.slug;
    RETURN new;
END;
$$;
CREATE TRIGGER category_lineage BEFORE INSERT OR UPDATE OF slug, name, parent_id ON category
    FOR EACH ROW EXECUTE FUNCTION set_lineage();

CREATE TABLE synonyms (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    groups     jsonb       NOT NULL DEFAULT '[]',
    version    integer     NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN synonyms.groups IS 'Lists of words, each of which finds the others of its list too.';
INSERT INTO synonyms DEFAULT VALUES;
CREATE TRIGGER synonyms_changed AFTER UPDATE ON synonyms
    FOR EACH STATEMENT EXECUTE FUNCTION record_product_change();

-- One configuration for each language. Whatever it is, words in Cyrillic letters are stemmed as Russian ones: folded texts
-- of languages in Latin letters have next to no other letters beside ASCII.
DO $$
DECLARE
    language text;
BEGIN
    FOREACH language IN ARRAY ARRAY[
        'basque', 'catalan', 'danish', 'dutch', 'english', 'finnish', 'french', 'german', 'hungarian', 'indonesian',
        'irish', 'italian', 'lithuanian', 'norwegian', 'portuguese', 'romanian', 'spanish', 'swedish', 'turkish'
    ] LOOP
        EXECUTE format('CREATE TEXT SEARCH CONFIGURATION shop_%s (COPY = pg_catalog.%s)', language, language);
        EXECUTE format(
            'ALTER TEXT SEARCH CONFIGURATION shop_%s ALTER MAPPING FOR word, hword, hword_part WITH russian_stem', language
        );
    END LOOP;
    FOREACH language IN ARRAY ARRAY[
        'arabic', 'armenian', 'greek', 'hindi', 'nepali', 'russian', 'serbian', 'tamil', 'yiddish'
    ] LOOP
        EXECUTE format('CREATE TEXT SEARCH CONFIGURATION shop_%s (COPY = pg_catalog.%s)', language, language);
    END LOOP;
END;
$$;

-- The languages are those of the connection, which a service sets when it connects.
CREATE FUNCTION product_words(name text, tags text, details text, description text, exact text[]) RETURNS tsvector
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    words tsvector := setweight(to_tsvector('simple', name), 'A') || setweight(to_tsvector('simple', details), 'C')
        || array_to_tsvector(exact);
    language regconfig;
BEGIN
    FOREACH language IN ARRAY
        coalesce(nullif(current_setting('souk.search_languages', true), ''), '{shop_english}')::regconfig[]
    LOOP
        words := words || setweight(to_tsvector(language, name), 'A') || setweight(to_tsvector(language, tags), 'B')
            || setweight(to_tsvector(language, details), 'C') || setweight(to_tsvector(language, description), 'D');
    END LOOP;
    RETURN words;
END;
$$;
COMMENT ON FUNCTION product_words IS 'Simple too for the name and for options, because they may be stop words.';
