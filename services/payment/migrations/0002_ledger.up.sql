-- The ledger: double entry, append-only. An entry is a debit (positive) or a credit (negative) of one account; the
-- entries of a transaction balance to zero per currency. The primary key books a transaction once.
CREATE TABLE ledger_account (
    code        text PRIMARY KEY,
    description text NOT NULL
);
INSERT INTO ledger_account (code, description) VALUES
    ('gateway_receivable', 'What the gateways hold for us and will pay out'),
    ('sales', 'What customers have paid for their orders, less what went back');

CREATE TABLE ledger_entry (
    transaction_id uuid        NOT NULL,
    account        text        NOT NULL,
    payment_id     uuid        NOT NULL REFERENCES payment (id),
    currency       text        NOT NULL,
    amount         bigint      NOT NULL,
    booked_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (transaction_id, account)
);
CREATE INDEX ledger_entry_payment_id ON ledger_entry (payment_id);

-- A transaction is booked whole, by one statement, so that one look at the end of the statement is enough; it finds
-- unknown accounts too: a foreign key would lock the same two accounts for everyone.
CREATE FUNCTION ledger_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh GROUP BY transaction_id, currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'a ledger transaction does not balance' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT FROM fresh WHERE account NOT IN (SELECT code FROM ledger_account)) THEN
        RAISE EXCEPTION 'there is no such ledger account' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_balances AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION ledger_balances();

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only; book a reversal' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

-- Zero in every row, or something is wrong.
CREATE VIEW ledger_balance AS
    SELECT currency, sum(amount) AS balance, count(*) AS entries FROM ledger_entry GROUP BY currency;

CREATE VIEW ledger_account_balance AS
    SELECT account, currency, sum(amount) AS balance FROM ledger_entry GROUP BY account, currency;

-- Payments of which the ledger says something else than the payment itself; empty, or something is wrong.
CREATE VIEW ledger_disagreement AS
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
