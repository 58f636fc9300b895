"""The table of safeguards names what is really there; `make safeguards` takes each of them away."""

import ast

import pytest

from tests.mutation.safeguard import Safeguard
from tests.mutation.safeguards import ROOT, SAFEGUARDS


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda one: one.name)
def test_a_safeguard_is_there_once_and_has_its_tests(safeguard: Safeguard) -> None:
    assert (ROOT / safeguard.file).read_text().count(safeguard.code) == 1
    for test in safeguard.tests:
        file, _, name = test.partition("::")
        defined = {getattr(node, "name", "") for node in ast.walk(ast.parse((ROOT / file).read_text()))}
        assert name in defined, f"{file} has no {name}"
