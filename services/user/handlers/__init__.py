"""Use cases, by what they are about: `registering`, `sessions`, `profile`."""
