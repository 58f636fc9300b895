"""The words of the bench: what products are called, what shoppers search for, and what customers are called.

Few words are frequent and most are rare, as in real shops: the word of rank n is drawn in proportion to 1/n.
"""

import itertools
import random
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

MATERIALS = (
    "oak", "linen", "cotton", "steel", "brass", "wool", "glass", "leather", "bamboo", "ceramic", "copper", "walnut",
    "silk", "marble", "cork", "velvet", "slate", "rattan", "pewter", "alpaca",
)  # fmt: skip
ADJECTIVES = (
    "small", "large", "classic", "modern", "round", "folding", "striped", "light", "heavy", "handmade", "woven",
    "glazed", "carved", "painted", "padded", "stackable", "tall", "narrow", "waxed", "quilted", "engraved", "ribbed",
    "reversible", "waterproof", "tapered", "speckled", "fluted", "braided", "dimmable", "collapsible",
)  # fmt: skip
NOUNS = {
    "Cookware": ("bowl", "mug", "board", "kettle", "knife", "jar", "colander", "trivet", "ladle", "decanter"),
    "Lights": ("lamp", "lantern", "candle", "shade", "sconce", "chandelier", "torch", "wick", "dimmer", "bulb"),
    "Bedding": ("pillow", "blanket", "duvet", "sheet", "quilt", "throw", "bolster", "mattress", "coverlet", "valance"),
    "Bags": ("bag", "backpack", "wallet", "purse", "tote", "satchel", "pouch", "suitcase", "holdall", "rucksack"),
    "Clothing": ("shirt", "scarf", "jumper", "coat", "socks", "gloves", "apron", "cap", "belt", "waistcoat"),
    "Interiors": ("chair", "table", "shelf", "stool", "bench", "desk", "cabinet", "ottoman", "sideboard", "trestle"),
    "Gardening": ("pot", "trowel", "hose", "planter", "rake", "shears", "trellis", "birdbath", "sundial", "cloche"),
    "Stationery": ("notebook", "pen", "pencil", "folder", "stapler", "ruler", "inkwell", "easel", "blotter", "atlas"),
    "Bath": ("towel", "soap", "mirror", "basket", "brush", "bathmat", "dispenser", "loofah", "tumbler", "robe"),
    "Games": ("puzzle", "blocks", "kite", "doll", "train", "marionette", "abacus", "yoyo", "kaleidoscope", "top"),
    "Sport": ("bottle", "mat", "rope", "racket", "helmet", "dumbbell", "whistle", "skittles", "javelin", "paddle"),
    "Music": ("drum", "flute", "ukulele", "tambourine", "metronome", "stand", "harmonica", "maracas", "zither", "gong"),
}  # fmt: skip
FILLERS = (
    "made", "by", "a", "family", "workshop", "and", "built", "to", "last", "easy", "clean", "goes", "with", "every",
    "room", "gift", "for", "home", "the", "softens", "over", "time", "use", "it", "daily", "ships", "flat", "refill",
    "spare", "parts", "sold", "separately", "natural", "finish", "colour", "may", "vary", "slightly", "holds", "two",
)  # fmt: skip
FIRST_NAMES = ("Ada", "Omar", "Ingrid", "Wei", "Lucía", "Kofi", "Priya", "Jan", "Noor", "Tomás", "Sana", "Björn")
LAST_NAMES = ("Lovelace", "Haddad", "Larsen", "Chen", "García", "Mensah", "Nair", "Novák", "Moreau", "O'Hara")


@cache
def popularity(count: int) -> Sequence[float]:
    """The cumulated weights of `count` ranks: rank n weighs 1/n."""
    return list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))


class Vocabulary:
    """Draws words with a generator of its own, so that each run draws the same ones."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self._searched: set[str] = set()
        self._nouns = [noun for rank in zip(*NOUNS.values(), strict=True) for noun in rank]
        self._qualities = [*MATERIALS, *ADJECTIVES]
        self._common = [*self._nouns[:36], *MATERIALS[:16], *ADJECTIVES[:10]]

    def draw(self, ranked: Sequence[T]) -> T:
        """Draws one of `ranked`, of which the first is the most frequent."""
        drawn: T = self._random.choices(ranked, cum_weights=popularity(len(ranked)))[0]
        return drawn

    def product(self, number: int, sku: str, stock: int) -> tuple[str, dict[str, Any]]:
        """The category of a product and what it is created from."""
        category = list(NOUNS)[number % len(NOUNS)]
        adjective, material, noun = self.draw(ADJECTIVES), self.draw(MATERIALS), self.draw(NOUNS[category])
        words = [*(self.draw(FILLERS) for _ in range(50)), *(self.draw(MATERIALS) for _ in range(10))]
        self._random.shuffle(words)
        return category, {
            "name": f"{adjective.title()} {material} {noun} {number}",
            "description": " ".join(words).capitalize() + ".",
            "sku": sku,
            "price": {"amount": self._random.randrange(500, 50_000), "currency": "USD"},
            "stock": stock,
            "tags": sorted({adjective, material, noun}),
            "attributes": {"material": material},
        }

    def common_search(self) -> str:
        """Words that many shoppers search for: one of 62, some of them much more often than others."""
        return self.draw(self._common)

    def new_search(self) -> str:
        """The query of a search that this run has not sent before: often two words, and then a price limit too."""
        words = self.draw(self._nouns)
        if self._random.random() < 0.7:
            words = f"{self.draw(self._qualities)}+{words}"
        query = f"q={words}"
        while query in self._searched:
            query = f"q={words}&max_price={self._random.randrange(1_000, 50_000)}"
        self._searched.add(query)
        return query

    def customer_name(self) -> tuple[str, str]:
        """The first and last name of a customer."""
        return self._random.choice(FIRST_NAMES), self._random.choice(LAST_NAMES)
