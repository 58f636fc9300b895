DROP TABLE reservation;
DROP TABLE refund;
DROP TABLE attempt;
DROP TABLE payment;
DROP TABLE bill;
