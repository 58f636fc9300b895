-- What gift cards pay of an order. Payment keeps the hold and the cards; the order shows their last four characters.
ALTER TABLE orders
    ADD COLUMN gift_card_total   bigint NOT NULL DEFAULT 0,
    ADD COLUMN gift_card_hold_id uuid,
    ADD COLUMN gift_cards        text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN orders.gift_card_hold_id IS 'The hold on gift cards at payment; null without gift cards.';
COMMENT ON COLUMN orders.gift_cards IS 'The last four characters of each card that pays.';
