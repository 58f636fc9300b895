DROP FUNCTION release_hold;
DROP FUNCTION place_hold;
DROP FUNCTION settle_holds;
