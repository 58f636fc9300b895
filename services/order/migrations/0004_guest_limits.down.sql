DROP TABLE guest_order_bucket;
