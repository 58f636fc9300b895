DROP VIEW stock_out_of_balance;
DROP TABLE hold;
DROP TABLE stock_movement;
DROP TABLE stock;
