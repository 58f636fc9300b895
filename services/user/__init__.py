"""user: accounts, and how their owners prove who they are.

The service owns accounts, sessions (families of refresh tokens), second factors, mailed tokens, addresses, failed
logins, API keys and the keys that sign access tokens. It subscribes to no events. Its own events carry no personal
data: a service that needs an e-mail address requests `contact`, and the service that mails a token requests `proof`.
It also coordinates the other services when a customer exports or erases their data.
"""
