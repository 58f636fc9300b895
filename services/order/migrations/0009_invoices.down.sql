DROP TABLE invoice;
DROP TABLE invoice_counter;
