"""How fast the shop is, beside what this machine can do at all."""
