ALTER TABLE orders DROP COLUMN shipping_discount, DROP COLUMN coupon;
DROP TABLE coupon_use;
DROP TABLE coupon_code;
DROP TABLE coupon;
