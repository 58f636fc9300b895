"""How mails are made and sent: recipients, templates, headers, the mail server, and the rate limit."""
