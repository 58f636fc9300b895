-- Fields of products and variants, the breadcrumbs of categories, and what an order needs of a variant to price it.

ALTER TABLE product
    ADD COLUMN vendor          text,
    ADD COLUMN tax_category    text NOT NULL DEFAULT 'standard',
    ADD COLUMN seo_title       text,
    ADD COLUMN seo_description text;
ALTER TABLE variant
    ADD COLUMN barcode           text,
    ADD COLUMN cost              bigint,
    ADD COLUMN requires_shipping boolean NOT NULL DEFAULT true,
    ADD COLUMN tax_category      text    NOT NULL DEFAULT 'standard';
COMMENT ON COLUMN product.vendor IS 'Empty for none. Null in rows of an older release: it is the attribute Vendor then.';
COMMENT ON COLUMN variant.cost IS 'What a unit costs the shop, in minor units. Only administrators may see it.';
COMMENT ON COLUMN variant.tax_category IS 'That of its product.';
ALTER TABLE freed_variant
    ADD COLUMN barcode           text,
    ADD COLUMN cost              bigint,
    ADD COLUMN requires_shipping boolean NOT NULL DEFAULT true;

-- The path of each category, so that reading a product needs no recursion. Triggers write it, for older releases too.
ALTER TABLE category ADD COLUMN breadcrumbs text NOT NULL DEFAULT '';
COMMENT ON COLUMN category.breadcrumbs IS 'JSON objects with slug and name and commas between them, the root first.';

CREATE FUNCTION breadcrumb(slug text, name text) RETURNS text
    LANGUAGE sql STABLE RETURN '{"slug":"' || slug || '","name":' || to_json(name)::text || '}';

WITH RECURSIVE tree AS (
    SELECT c.id, breadcrumb(c.slug, c.name) AS breadcrumbs FROM category c WHERE c.parent_id IS NULL
    UNION ALL
    SELECT c.id, tree.breadcrumbs || ',' || breadcrumb(c.slug, c.name)
    FROM category c JOIN tree ON tree.id = c.parent_id
)
UPDATE category c SET breadcrumbs = tree.breadcrumbs FROM tree WHERE tree.id = c.id;

-- The parent is locked, so that a change of its path cannot miss a category that is put below it at the same moment.
CREATE FUNCTION set_breadcrumbs() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above text;
BEGIN
    SELECT parent.breadcrumbs INTO above FROM category parent WHERE parent.id = new.parent_id FOR SHARE;
    new.breadcrumbs := concat_ws(',', above, breadcrumb(new.slug, new.name));
    RETURN new;
END;
$$;
CREATE TRIGGER category_placed BEFORE INSERT OR UPDATE OF slug, name, parent_id ON category
    FOR EACH ROW EXECUTE FUNCTION set_breadcrumbs();

-- Each level is a statement of its own, which sees what was committed while it waited for the level above.
CREATE FUNCTION refresh_breadcrumbs_below() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE category SET name = name WHERE parent_id = new.id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER category_path_changed AFTER UPDATE ON category
    FOR EACH ROW WHEN (old.breadcrumbs IS DISTINCT FROM new.breadcrumbs) EXECUTE FUNCTION refresh_breadcrumbs_below();
