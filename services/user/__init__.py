"""user: who somebody is, and how they prove it.

Owns accounts, sessions (the families of refresh tokens), second factors, mailed tokens, addresses, failed logins and
the keys that sign access tokens. Hears nothing. Says what becomes of accounts, without personal data: who needs an
address to write to asks `contact`, and who mails a token asks `proof`. Leads the others when somebody wants to see all
that is held on them, or have it erased.
"""
