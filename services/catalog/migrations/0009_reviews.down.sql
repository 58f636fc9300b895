DROP TABLE shop_rating;
DROP INDEX product_to_rank;
DROP INDEX product_of_category_by_rating_rank;
DROP INDEX product_by_rating_rank;
ALTER TABLE product DROP COLUMN prior_version, DROP COLUMN rating_rank, DROP COLUMN rating_sum;
DROP TABLE review;
