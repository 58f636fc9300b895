DROP TABLE recovery_code;
DROP TABLE second_factor;
ALTER TABLE account DROP COLUMN totp;
