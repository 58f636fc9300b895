-- Products, their variants and the category tree; what is searched and sorted by stands apart from what is served.
CREATE TABLE category (
    id        uuid PRIMARY KEY,
    slug      text NOT NULL CONSTRAINT category_slug UNIQUE,
    name      text NOT NULL,
    parent_id uuid CONSTRAINT category_parent REFERENCES category (id)
);
CREATE INDEX category_by_parent ON category (parent_id);
CREATE INDEX category_by_name ON category (lower(name), id);

-- array_to_string is merely stable, for the sake of types whose output may change; text's does not.
CREATE FUNCTION spaced(words text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_to_string(words, ' ');

CREATE TABLE product (
    id             uuid             PRIMARY KEY,
    slug           text             NOT NULL CONSTRAINT product_slug UNIQUE,
    name           text             NOT NULL,
    description    text             NOT NULL,
    category_id    uuid             CONSTRAINT product_category REFERENCES category (id),
    tags           text[]           NOT NULL,
    attributes     jsonb            NOT NULL,
    price          bigint           NOT NULL,
    is_active      boolean          NOT NULL,
    rating_average double precision NOT NULL DEFAULT 0,
    rating_count   integer          NOT NULL DEFAULT 0,
    version        integer          NOT NULL,
    handle         text             CONSTRAINT product_handle UNIQUE,
    sources        jsonb            NOT NULL,
    created_at     timestamptz      NOT NULL,
    updated_at     timestamptz      NOT NULL,
    search         tsvector         NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', name), 'A')
        || setweight(to_tsvector('english', spaced(tags)), 'B')
        || setweight(to_tsvector('english', description), 'D')
    ) STORED
);
COMMENT ON COLUMN product.price IS 'Of the cheapest variant, in minor units.';
COMMENT ON COLUMN product.handle IS 'The name by which product files know it.';
COMMENT ON COLUMN product.sources IS 'Pictures that a product file names; they are not fetched.';
CREATE INDEX product_newest ON product (id) WHERE is_active;
CREATE INDEX product_by_price ON product (price, id) WHERE is_active;
CREATE INDEX product_by_name ON product (lower(name), id) WHERE is_active;
CREATE INDEX product_by_rating ON product (rating_average, id) WHERE is_active;
CREATE INDEX product_by_category ON product (category_id);
CREATE INDEX product_by_tag ON product USING gin (tags);
CREATE INDEX product_search ON product USING gin (search);
CREATE INDEX product_words ON product USING gin (to_tsvector('simple', name));

-- What is served: the product's JSON, written with the product, as a template. Its holes are the category's slug and what
-- is available of each variant, which change without it. It changes only together with the product's version.
CREATE TABLE product_document (
    product_id uuid PRIMARY KEY REFERENCES product (id),
    document   text NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE product_document ALTER COLUMN document SET STORAGE EXTERNAL;

CREATE TABLE variant (
    sku              text    PRIMARY KEY,
    product_id       uuid    NOT NULL REFERENCES product (id),
    position         integer NOT NULL,
    options          jsonb   NOT NULL,
    price            bigint  NOT NULL,
    compare_at_price bigint,
    weight_grams     integer,
    on_sale          boolean NOT NULL,
    card             text    NOT NULL,
    imported         bigint
);
COMMENT ON COLUMN variant.card IS 'JSON members of a line that sells it: sku, product_id, name, options, unit_price.';
COMMENT ON COLUMN variant.imported IS 'The quantity that the last product file gave; only another one sets the stock again.';
CREATE INDEX variant_by_product ON variant (product_id);

CREATE TABLE image (
    id         uuid        PRIMARY KEY,
    product_id uuid        NOT NULL REFERENCES product (id),
    position   integer     NOT NULL,
    alt        text        NOT NULL,
    widths     integer[]   NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX image_by_product ON image (product_id);
