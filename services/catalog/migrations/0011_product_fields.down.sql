DROP TRIGGER category_path_changed ON category;
DROP TRIGGER category_placed ON category;
DROP FUNCTION refresh_breadcrumbs_below;
DROP FUNCTION set_breadcrumbs;
DROP FUNCTION breadcrumb;
ALTER TABLE category DROP COLUMN breadcrumbs;

ALTER TABLE freed_variant DROP COLUMN barcode, DROP COLUMN cost, DROP COLUMN requires_shipping;
ALTER TABLE variant DROP COLUMN barcode, DROP COLUMN cost, DROP COLUMN requires_shipping, DROP COLUMN tax_category;
ALTER TABLE product
    DROP COLUMN vendor, DROP COLUMN tax_category, DROP COLUMN seo_title, DROP COLUMN seo_description;
