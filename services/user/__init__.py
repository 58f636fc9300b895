"""user: who somebody is, and how they prove it.

Owns accounts, sessions (the families of refresh tokens), failed logins and the keys that sign access tokens.
Hears nothing. Says `registered`, without personal data; who needs an address to write to asks `contact`.
"""
