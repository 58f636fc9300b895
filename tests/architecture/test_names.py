"""Names and words: one class name for one thing, no old vocabulary, and plain English."""

import re
from collections import Counter, defaultdict
from pathlib import Path

from tests.architecture.sources import (
    PACKAGES,
    ROOT,
    facts_of,
    modules,
    project_files,
    prose,
    relative_name,
)

OLD_NAMES = frozenset(
    {
        *("Actor", "Answer", "Asker", "Ask", "Reaction", "Reactor", "Letter", "Letters", "Desk", "Room", "Kit", "Shop"),
        *("Board", "Ledger", "Heart", "Together", "Heads", "Note", "Tally", "Bell", "Pace", "Mailbox", "Handover"),
        *("Ended", "Meter", "Lines", "Exchange", "Intake", "Stall", "Verdict", "Tried", "Article", "Wanted", "Found"),
        *("Overtaken", "Cure", "Mend", "NotYet", "Told", "Replays", "Watch", "AWAY", "BUSY", "PATIENCE", "PIECE"),
        *("HEAR", "HEARS", "LOSE_HOLD", "GIVE_UP", "ask", "asks", "asked", "asker", "bury", "crash_point", "cure"),
        *("furnish", "go_on", "gone_on", "hear", "heard", "hearing", "hurry", "is_away", "keep_stock", "kept", "kit"),
        *("letter", "letters", "line_up", "living", "mend", "mended", "overrule", "patience", "pass_through", "react"),
        *("room", "rooms", "said", "set_aside", "settle_memory", "tell", "told", "unheard", "untold", "whence"),
        *("wake_mailroom", "nobody", "somebody", "whoever", "everybody", "anybody"),
    }
)
"""Words of an earlier vocabulary that a reader would have to decode, in any case a name may start with `_`."""

VAGUE_PERSONS = re.compile(r"\b(nobody|somebody|whoever|everybody|anybody)\b", re.IGNORECASE)
MAX_VAGUE_PERSONS = 20
"""A noun such as "the caller" or "no process" says more; fewer than this many may remain in the whole project."""


def test_no_public_class_name_is_defined_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules(*PACKAGES):
        for name in facts_of(path).public_classes:
            places[name].append(relative_name(path))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_old_name_is_defined() -> None:
    found = [
        f"{relative_name(path)}:{line}: {name}"
        for path in modules(*PACKAGES, "tests")
        for line, name in facts_of(path).names
        if name.lstrip("_") in OLD_NAMES
    ]
    assert found == []


def test_prose_names_who_acts() -> None:
    counts: Counter[str] = Counter()
    for path in project_files():
        if ROOT / "docs" / "generated" not in path.parents and path != Path(__file__):
            for _, text in prose(path, containing=VAGUE_PERSONS):
                counts[relative_name(path)] += len(VAGUE_PERSONS.findall(text))
    assert counts.total() < MAX_VAGUE_PERSONS, +counts
