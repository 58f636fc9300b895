DROP TABLE signing_key;
DROP TABLE login_failure;
DROP TABLE refresh_token;
DROP TABLE session;
DROP TABLE account;
