-- Entries of gift cards cannot be kept in the older ledger: an operator has to settle them before going back.
DROP VIEW gift_card_disagreement;
CREATE OR REPLACE VIEW ledger_disagreement AS
    SELECT payment.id AS payment_id, payment.status,
           CASE WHEN payment.status IN ('captured', 'partially_refunded', 'refunded', 'disputed')
                THEN payment.amount - payment.refunded ELSE 0 END AS expected,
           coalesce(booked.amount, 0) AS booked
    FROM payment
    LEFT JOIN (SELECT payment_id, sum(amount) AS amount FROM ledger_entry
               WHERE account = 'gateway_receivable' GROUP BY payment_id) AS booked ON booked.payment_id = payment.id
    WHERE coalesce(booked.amount, 0) <>
          CASE WHEN payment.status IN ('captured', 'partially_refunded', 'refunded', 'disputed')
               THEN payment.amount - payment.refunded ELSE 0 END;
ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_pkey;
ALTER TABLE ledger_entry ADD PRIMARY KEY (transaction_id, account);
ALTER TABLE ledger_entry DROP COLUMN cause, DROP COLUMN gift_card_id, DROP COLUMN line;
ALTER TABLE ledger_entry ALTER COLUMN payment_id SET NOT NULL;
DELETE FROM ledger_account WHERE code IN ('gift_card_liability', 'gift_card_funding');
ALTER TABLE refund DROP COLUMN gift_card_id;
ALTER TABLE payment DROP COLUMN gift_card_amount;
DROP TABLE gift_card_guess_bucket;
DROP TABLE gift_card_hold;
DROP TABLE gift_card;
