"""Words that find each other: the shop's synonyms, and the words of products that a mistyped word may stand for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.catalog.domain.folded_text import query_text
from services.catalog.domain.typo_correction import find_words

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Synonyms:
    """The synonyms of each phrase, by its folded words."""

    version: int = 0
    others: Mapping[Phrase, Sequence[Phrase]] = field(default_factory=dict)

    @staticmethod
    def of(groups: Sequence[Sequence[str]], version: int) -> "Synonyms":
        """The synonyms of these groups. A phrase that is in several groups has those of each."""
        others: dict[Phrase, dict[Phrase, None]] = {}
        for group in groups:
            phrases = [tuple(find_words(query_text(text))) for text in group]
            for phrase in phrases:
                others.setdefault(phrase, {}).update(dict.fromkeys(one for one in phrases if one and one != phrase))
        others.pop((), None)
        return Synonyms(version, {phrase: tuple(found) for phrase, found in others.items()})

    def phrases(self, words: Sequence[str]) -> Iterator[tuple[Phrase, Sequence[Phrase]]]:
        """The words, as the longest phrases that have synonyms, with those; other words have none."""
        place, longest = 0, max(map(len, self.others), default=1)
        while place < len(words):
            sizes = range(min(longest, len(words) - place), 0, -1)
            candidates = (tuple(words[place : place + size]) for size in sizes)
            phrase = next((one for one in candidates if one in self.others), (words[place],))
            yield phrase, self.others.get(phrase, ())
            place += len(phrase)


def alternatives_query(words: Sequence[str], synonyms: Synonyms, corrections: Mapping[str, Sequence[str]]) -> str:
    """A text query for the words or what may stand for them, the last as a prefix; empty if nothing does."""
    parts, has_alternatives = [], False
    phrases = list(synonyms.phrases(words))
    for place, (phrase, others) in enumerate(phrases):
        own = " & ".join(phrase)
        if place == len(phrases) - 1:
            own += ":*"
        choices = [own, *map(_to_query, others)]
        if len(phrase) == 1:
            choices += corrections.get(phrase[0], ())
        has_alternatives = has_alternatives or len(choices) > 1
        parts.append(f"({' | '.join(f'({choice})' for choice in choices)})")
    return " & ".join(parts) if has_alternatives else ""


def _to_query(phrase: Phrase) -> str:
    return " <-> ".join(phrase)
