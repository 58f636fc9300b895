-- Invoices and credit notes. Each has a number without gaps per series and year: the counter's row is counted up and the
-- invoices are inserted in one statement, the last one of the transaction that makes their orders paid. So a number is
-- taken exactly when that transaction commits, and the counter's row is locked for as long as the commit takes.
CREATE TABLE invoice_counter (
    series         text        NOT NULL,
    year           int         NOT NULL,
    last_number    bigint      NOT NULL,
    last_issued_at timestamptz NOT NULL,
    PRIMARY KEY (series, year)
) WITH (fillfactor = 50);
COMMENT ON COLUMN invoice_counter.last_issued_at IS 'A higher number never has an earlier time, whatever the clocks say.';

CREATE TABLE invoice (
    series          text        NOT NULL,
    year            int         NOT NULL,
    number          bigint      NOT NULL CHECK (number > 0),
    order_id        uuid        NOT NULL REFERENCES orders,
    position        int         NOT NULL CHECK (position >= 0),
    refund_id       uuid,
    issued_at       timestamptz NOT NULL,
    currency        text        NOT NULL,
    tax             bigint      NOT NULL CHECK (tax BETWEEN 0 AND total),
    total           bigint      NOT NULL,
    document        text        NOT NULL,
    pdf_sha256      bytea       CHECK (length(pdf_sha256) = 32),
    render_at       timestamptz NOT NULL DEFAULT now(),
    render_failures int         NOT NULL DEFAULT 0,
    render_error    text,
    PRIMARY KEY (series, year, number),
    UNIQUE (order_id, position),
    CHECK ((position = 0) = (refund_id IS NULL))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX invoice_of_refund ON invoice (refund_id) WHERE refund_id IS NOT NULL;
CREATE INDEX invoice_to_render ON invoice (render_at) WHERE pdf_sha256 IS NULL;

COMMENT ON COLUMN invoice.position IS '0 is the invoice of the order; n is its n-th credit note.';
COMMENT ON COLUMN invoice.document IS 'JSON with all that is printed, as it was when the invoice was issued.';
COMMENT ON COLUMN invoice.pdf_sha256 IS 'Of the PDF in the object store; null until it is made. It never changes.';
COMMENT ON COLUMN invoice.render_at IS 'When the PDF is made next; later than now while a process makes it.';
