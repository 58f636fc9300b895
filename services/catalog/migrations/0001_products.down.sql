DROP TABLE image;
DROP TABLE variant;
DROP TABLE product_document;
DROP TABLE product;
DROP FUNCTION spaced;
DROP TABLE category;
