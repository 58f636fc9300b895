"""The synonyms of searches: words that find each other."""

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from contracts.catalog.types import SERVICE
from contracts.failure import PreconditionFailed
from contracts.identity import Access
from contracts.model import VISIBLE, Empty, Model, NonEmptyLine, SingleLine, Timestamp
from contracts.operation import Operation

MAX_SYNONYM_GROUPS = 1_000
MAX_SYNONYMS = 20
"""Words of one group."""
MAX_CHARACTERS = 50_000
"""Of all words together, so that they fit into a message, and before and after a change into the audit log."""
Synonym = Annotated[NonEmptyLine, StringConstraints(max_length=64), VISIBLE]


class SynonymList(Model):
    """The shop's synonyms."""

    groups: Annotated[
        list[list[SingleLine]],
        Field(description="Words, or phrases of a few words. A search for one of a group finds the others too."),
    ]
    updated_at: Annotated[Timestamp, Field(description="When they were last changed.")]


class ReplaceSynonyms(Model):
    """The new synonyms, in place of all that there are."""

    groups: Annotated[
        list[Annotated[list[Synonym], Field(min_length=2, max_length=MAX_SYNONYMS)]],
        Field(
            max_length=MAX_SYNONYM_GROUPS,
            description="Words, or phrases of a few words. A search for one of a group finds the others too. Case and "
            "accents do not matter.",
        ),
    ]

    @field_validator("groups")
    @classmethod
    def _check_words(cls, groups: list[list[str]]) -> list[list[str]]:
        words = [word for group in groups for word in group]
        if not all(any(map(str.isalnum, word)) for word in words):
            message = "Send words with at least one letter or digit."
            raise ValueError(message)
        if sum(map(len, words)) > MAX_CHARACTERS:
            message = f"Send at most {MAX_CHARACTERS} characters in all groups together."
            raise ValueError(message)
        return groups


GET_SYNONYMS = Operation(SERVICE, "get_synonyms", Empty, SynonymList, "Read the synonyms of searches", Access.ADMIN)
REPLACE_SYNONYMS = Operation(
    SERVICE,
    "replace_synonyms",
    ReplaceSynonyms,
    SynonymList,
    "Replace the synonyms of searches",
    Access.ADMIN,
    (PreconditionFailed,),
    writes=True,
)
SYNONYM_OPERATIONS = (GET_SYNONYMS, REPLACE_SYNONYMS)
