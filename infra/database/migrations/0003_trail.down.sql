DROP TABLE trail;
DROP FUNCTION trail_only_grows;
