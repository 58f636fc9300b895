-- Gift cards. The truth about a balance is the account `gift_card_liability` of the ledger, by card; `balance` and `held`
-- are kept beside it so that one conditional update decides whether an order may hold more.
CREATE TABLE gift_card (
    id          uuid        PRIMARY KEY,
    code_digest bytea       NOT NULL UNIQUE,
    last4       text        NOT NULL,
    currency    text        NOT NULL,
    initial     bigint      NOT NULL CHECK (initial > 0),
    balance     bigint      NOT NULL,
    held        bigint      NOT NULL DEFAULT 0,
    state       text        NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    expires_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT gift_card_never_overdrawn CHECK (0 <= held AND held <= balance AND balance <= initial)
) WITH (fillfactor = 50);
COMMENT ON COLUMN gift_card.code_digest IS 'A keyed hash of the code, which is stored nowhere.';

-- What an order holds on each of its gift cards, in the order in which they are used. The state of a row changes only
-- under the lock of its card.
CREATE TABLE gift_card_hold (
    hold_id      uuid        NOT NULL,
    gift_card_id uuid        NOT NULL REFERENCES gift_card,
    position     smallint    NOT NULL,
    amount       bigint      NOT NULL CHECK (amount > 0),
    state        text        NOT NULL CHECK (state IN ('held', 'spent', 'released')),
    payment_id   uuid        REFERENCES payment (id),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (hold_id, gift_card_id)
) WITH (fillfactor = 70);
CREATE INDEX gift_card_hold_of_card ON gift_card_hold (gift_card_id);
CREATE INDEX gift_card_hold_of_payment ON gift_card_hold (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX gift_card_hold_to_expire ON gift_card_hold (expires_at) WHERE state = 'held' AND payment_id IS NULL;
COMMENT ON COLUMN gift_card_hold.payment_id IS 'The payment that will spend it, or has; such a hold does not expire.';

-- How many unknown codes may be tried from one address: a bucket that refills continuously.
CREATE TABLE gift_card_guess_bucket (
    key     bytea       PRIMARY KEY,
    full_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX gift_card_guess_bucket_full ON gift_card_guess_bucket (full_at);
COMMENT ON COLUMN gift_card_guess_bucket.key IS 'A keyed hash of the address, which cannot be read from it.';

ALTER TABLE payment ADD COLUMN gift_card_amount bigint NOT NULL DEFAULT 0;
ALTER TABLE payment
    ADD CONSTRAINT payment_gift_card_amount CHECK (gift_card_amount BETWEEN 0 AND amount) NOT VALID;
COMMENT ON COLUMN payment.gift_card_amount IS 'The part of the amount that gift cards pay; a gateway charges the rest.';

ALTER TABLE refund ADD COLUMN gift_card_id uuid REFERENCES gift_card;
COMMENT ON COLUMN refund.gift_card_id IS 'The card that the money goes back to; null for the gateway.';

-- The ledger, wider: a transaction may have several entries of one account, told apart by `line`, and entries that
-- belong to a card and to no payment.
INSERT INTO ledger_account (code, description) VALUES
    ('gift_card_liability', 'What gift cards are still worth to their holders, by card'),
    ('gift_card_funding', 'What gift cards were issued for: money that was taken elsewhere, or goodwill');

ALTER TABLE ledger_entry ALTER COLUMN payment_id DROP NOT NULL;
ALTER TABLE ledger_entry ADD COLUMN line smallint NOT NULL DEFAULT 0;
ALTER TABLE ledger_entry ADD COLUMN gift_card_id uuid REFERENCES gift_card;
ALTER TABLE ledger_entry ADD COLUMN cause text NOT NULL DEFAULT 'payment';
ALTER TABLE ledger_entry ADD CONSTRAINT ledger_entry_of_a_card CHECK (
    (account = 'gift_card_liability') = (gift_card_id IS NOT NULL)
) NOT VALID;
ALTER TABLE ledger_entry ADD CONSTRAINT ledger_entry_cause CHECK (
    cause IN ('payment', 'capture', 'refund', 'gift_card_issue')
    AND (payment_id IS NOT NULL OR cause = 'gift_card_issue')
) NOT VALID;
-- Writers wait while the new key is built: about a second for a million entries.
ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_pkey;
ALTER TABLE ledger_entry ADD PRIMARY KEY (transaction_id, account, line);
CREATE INDEX ledger_entry_of_card ON ledger_entry (gift_card_id) WHERE gift_card_id IS NOT NULL;
COMMENT ON COLUMN ledger_entry.cause IS 'Entries that were booked before causes were recorded have `payment`: a capture if the transaction has the id of the payment, else a refund.';

-- Sales agree with payments whoever has paid: a gateway or gift cards.
CREATE OR REPLACE VIEW ledger_disagreement AS
    SELECT payment.id AS payment_id, payment.status,
           CASE WHEN payment.status IN ('captured', 'partially_refunded', 'refunded', 'disputed')
                THEN payment.amount - payment.refunded ELSE 0 END AS expected,
           coalesce(booked.amount, 0) AS booked
    FROM payment
    LEFT JOIN (SELECT payment_id, -sum(amount) AS amount FROM ledger_entry
               WHERE account = 'sales' GROUP BY payment_id) AS booked ON booked.payment_id = payment.id
    WHERE coalesce(booked.amount, 0) <>
          CASE WHEN payment.status IN ('captured', 'partially_refunded', 'refunded', 'disputed')
               THEN payment.amount - payment.refunded ELSE 0 END;

-- Cards of which the ledger says something else than the card itself; empty, or something is wrong.
CREATE VIEW gift_card_disagreement AS
    SELECT gift_card.id AS gift_card_id, balance, held, coalesce(booked.amount, 0) AS booked,
           coalesce(holds.amount, 0) AS by_holds
    FROM gift_card
    LEFT JOIN (SELECT gift_card_id, -sum(amount) AS amount FROM ledger_entry
               WHERE gift_card_id IS NOT NULL GROUP BY gift_card_id) AS booked ON booked.gift_card_id = gift_card.id
    LEFT JOIN (SELECT gift_card_id, sum(amount) AS amount FROM gift_card_hold
               WHERE state = 'held' GROUP BY gift_card_id) AS holds ON holds.gift_card_id = gift_card.id
    WHERE balance <> coalesce(booked.amount, 0) OR held <> coalesce(holds.amount, 0);
