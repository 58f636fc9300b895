"""The short form, on a shop of its own, because generated requests ban and delete what other tests need."""

import pytest

from tests.fuzz.fuzz_run import fuzz_as_all_callers
from tests.fuzz.schemathesis import FuzzBudget


@pytest.mark.timeout(180)
async def test_a_short_run_finds_nothing() -> None:
    results = await fuzz_as_all_callers(FuzzBudget(seconds=24, examples=3, seed=1))
    for result in results:
        assert result.code == 0, f"{result.caller.name}: {result.report}"
        assert "API Links" in result.report, "the run came to nothing"
