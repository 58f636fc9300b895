DROP FUNCTION place_guest_hold;
DROP INDEX hold_of_guests;
ALTER TABLE hold DROP COLUMN by_guest;
