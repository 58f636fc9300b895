"""What people run: the `souk` command, the local stack and verification. Nothing else imports it."""
