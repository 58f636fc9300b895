-- What a merchant charges: tax rates and shipping zones, read by every order that is placed.
-- Every change of the three tables locks the one row of `pricing_rules` and counts it up, so two changes never overlap.
-- An order is stored only if it was priced by the version that this row has.
CREATE TABLE pricing_rules (
    only_row              boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version               bigint  NOT NULL DEFAULT 1,
    prices_include_tax    boolean NOT NULL DEFAULT false,
    seller_country        text,
    oss                   boolean NOT NULL DEFAULT false,
    shipping_tax_category text
) WITH (fillfactor = 50);
INSERT INTO pricing_rules DEFAULT VALUES;

CREATE TABLE tax_rate (
    id            uuid        PRIMARY KEY,
    category      text        NOT NULL,
    country       text        NOT NULL,
    region        text,
    postal_prefix text,
    rate_ppm      int         NOT NULL CHECK (rate_ppm BETWEEN 0 AND 1000000),
    name          text        NOT NULL,
    compound      boolean     NOT NULL,
    priority      int         NOT NULL,
    valid_from    timestamptz,
    valid_to      timestamptz,
    reason        text        NOT NULL,
    CHECK (valid_to > valid_from),
    CHECK ((rate_ppm > 0) = (reason IN ('standard', 'reduced')))
);

CREATE TABLE shipping_zone (
    id      uuid  PRIMARY KEY,
    name    text  NOT NULL,
    places  jsonb NOT NULL,
    methods jsonb NOT NULL
);

ALTER TABLE orders
    ADD COLUMN tax_included boolean NOT NULL DEFAULT false,
    ADD COLUMN tax_lines    jsonb   NOT NULL DEFAULT '[]',
    DROP CONSTRAINT orders_check,
    -- Not validated: the old check, which holds for every old row, is the same where the tax is not included.
    ADD CONSTRAINT orders_total_adds_up CHECK (
        total = subtotal - discount + shipping + CASE WHEN tax_included THEN 0 ELSE tax END AND total >= 0
    ) NOT VALID;
COMMENT ON COLUMN orders.tax_lines IS 'The sum of each rate on goods and shipping. The taxes of each line are in items.';
