"""PostgreSQL and MongoDB: connections, transactions, the outbox, migrations, advisory locks and the audit log."""
