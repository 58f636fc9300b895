DROP VIEW ledger_disagreement;
DROP VIEW ledger_account_balance;
DROP VIEW ledger_balance;
DROP TABLE ledger_entry;
DROP FUNCTION ledger_is_append_only;
DROP FUNCTION ledger_balances;
DROP TABLE ledger_account;
