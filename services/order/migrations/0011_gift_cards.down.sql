ALTER TABLE orders DROP COLUMN gift_cards, DROP COLUMN gift_card_hold_id, DROP COLUMN gift_card_total;
