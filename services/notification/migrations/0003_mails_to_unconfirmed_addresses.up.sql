-- The mails of the last day to addresses that were never confirmed. Rows are deleted after a day.
CREATE TABLE unconfirmed_mail (
    delivery_id uuid        PRIMARY KEY REFERENCES delivery ON DELETE CASCADE,
    recipient   bytea       NOT NULL,
    about       text        NOT NULL CHECK (about IN ('order', 'account')),
    counted_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX unconfirmed_mail_of_recipient ON unconfirmed_mail (recipient, about, counted_at);
CREATE INDEX unconfirmed_mail_counted ON unconfirmed_mail (counted_at);
