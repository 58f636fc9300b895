-- Money that should go back and cannot: an order is cancelled, and what was taken for it is neither back nor on its way.
-- Empty, or an operator is needed: the last refund was refused, for the reason named.
CREATE VIEW money_owed AS
    SELECT payment.id AS payment_id, payment.order_id, payment.currency,
           payment.amount - payment.refunded - payment.refunding AS owed,
           refused.id AS refund_id, refused.failure_code, coalesce(refused.settled_at, payment.updated_at) AS since
    FROM payment
    LEFT JOIN LATERAL (
        SELECT refund.id, refund.failure_code, refund.settled_at FROM refund
        WHERE refund.payment_id = payment.id AND refund.status = 'failed' ORDER BY refund.id DESC LIMIT 1
    ) AS refused ON true
    WHERE payment.cancelled AND payment.status IN ('captured', 'partially_refunded')
      AND payment.refunded + payment.refunding < payment.amount;

-- The simulator remembers what it has refused, as gateways do: the same key is given the same answer.
ALTER TABLE simulator.refund DROP CONSTRAINT refund_state_check;
ALTER TABLE simulator.refund ADD CONSTRAINT refund_state_check CHECK (state IN ('refunded', 'erred', 'refused'));
