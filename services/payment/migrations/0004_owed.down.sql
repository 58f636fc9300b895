DROP VIEW money_owed;
DELETE FROM simulator.refund WHERE state = 'refused';
ALTER TABLE simulator.refund DROP CONSTRAINT refund_state_check;
ALTER TABLE simulator.refund ADD CONSTRAINT refund_state_check CHECK (state IN ('refunded', 'erred'));
