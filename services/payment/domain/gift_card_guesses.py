"""How many gift card codes that do not exist may be tried from one address."""

import hmac
from dataclasses import dataclass, field

from contracts.client_networks import client_network

WINDOW_SECONDS = 60.0
"""In which the guesses refill."""


@dataclass(frozen=True, slots=True)
class GuessBucket:
    """The bucket of one address. Each guess takes `step_seconds` of refilling."""

    key: bytes
    step_seconds: float


@dataclass(frozen=True, slots=True)
class GiftCardGuessLimit:
    """The limit from the settings; 0 is none."""

    limit: int
    secret: str = field(repr=False)
    """Hashes what guesses are counted by, so that no table holds an address."""

    def bucket(self, client_ip: str) -> GuessBucket | None:
        """Returns what a guess takes from; None if guesses are not limited."""
        if not self.limit or not client_ip:
            return None
        text = f"gift card guess\0{client_network(client_ip)}"
        key = hmac.digest(self.secret.encode(), text.encode(), "sha256")
        return GuessBucket(key, WINDOW_SECONDS / self.limit)
