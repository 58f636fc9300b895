"""How identity is proved and protected: passwords, tokens, codes, signing keys, throttles."""
