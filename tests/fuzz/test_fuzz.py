"""The short form: some of everything, on a shop of its own, as what is made up bans and deletes what others need."""

import pytest

from tests.fuzz.fuzz_run import fuzz_as_all_callers
from tests.fuzz.schemathesis import FuzzBudget


@pytest.mark.timeout(180)
async def test_a_little_of_everything_finds_nothing() -> None:
    found = await fuzz_as_all_callers(FuzzBudget(seconds=18, examples=3, seed=1))
    for outcome in found:
        assert outcome.code == 0, f"{outcome.caller.name}: {outcome.report}"
        assert "API Links" in outcome.report, "the run came to nothing"
