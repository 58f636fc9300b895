-- An order with included tax becomes one whose tax is shown apart: the total stays what the customer pays.
ALTER TABLE orders DROP CONSTRAINT orders_total_adds_up;
UPDATE orders SET subtotal = subtotal - tax WHERE tax_included;
ALTER TABLE orders
    ADD CONSTRAINT orders_check CHECK (total = subtotal - discount + shipping + tax AND total >= 0),
    DROP COLUMN tax_lines,
    DROP COLUMN tax_included;
DROP TABLE shipping_zone;
DROP TABLE tax_rate;
DROP TABLE pricing_rules;
