-- Reviews, and what they make of a product's rating. The sums change in the transaction that changes a review's status.
CREATE TABLE review (
    id         uuid        PRIMARY KEY,
    product_id uuid        NOT NULL REFERENCES product (id),
    user_id    uuid,
    order_id   uuid        NOT NULL,
    rating     smallint    NOT NULL CHECK (rating BETWEEN 1 AND 5),
    title      text        NOT NULL,
    body       text        NOT NULL,
    status     text        NOT NULL CHECK (status IN ('pending', 'published', 'rejected')),
    reason     text,
    answer     text,
    version    integer     NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT review_of_customer UNIQUE (user_id, product_id)
);
COMMENT ON COLUMN review.user_id IS 'Null once the account is erased; then the texts are empty and the rating stays.';
CREATE INDEX review_published ON review (product_id, id) WHERE status = 'published';
CREATE INDEX review_by_status ON review (status, id);

-- The sort by rating adds five ratings of the shop's average to those of a product, so that a single one says little.
-- Only the difference to that average is stored: it is 0 for a product without reviews, whatever the average.
ALTER TABLE product
    ADD COLUMN rating_sum    bigint           NOT NULL DEFAULT 0,
    ADD COLUMN rating_rank   double precision NOT NULL DEFAULT 0,
    ADD COLUMN prior_version integer          NOT NULL DEFAULT 0;
COMMENT ON COLUMN product.rating_rank IS '(rating_sum + 5 * prior) / (rating_count + 5) - prior';
COMMENT ON COLUMN product.prior_version IS 'Of the shop''s prior that rating_rank was computed with.';
CREATE INDEX product_by_rating_rank ON product (rating_rank, id) WHERE is_active;
CREATE INDEX product_of_category_by_rating_rank ON product (category_id, rating_rank, id) WHERE is_active;
CREATE INDEX product_to_rank ON product (prior_version) WHERE rating_count > 0;

CREATE TABLE shop_rating (
    only_row      boolean          PRIMARY KEY DEFAULT true CHECK (only_row),
    sum           bigint           NOT NULL DEFAULT 0,
    count         bigint           NOT NULL DEFAULT 0,
    prior         double precision NOT NULL DEFAULT 0,
    prior_version integer          NOT NULL DEFAULT 0
);
COMMENT ON COLUMN shop_rating.prior IS 'The average of all published reviews, but it moves only when that differs by 0.05.';
INSERT INTO shop_rating DEFAULT VALUES;
