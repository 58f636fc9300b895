"""Who calls: access tokens, API keys and revoked sessions."""
