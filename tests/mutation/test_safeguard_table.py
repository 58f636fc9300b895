"""The table of safeguards quotes code and tests that exist; `make safeguards` removes each safeguard."""

import ast

import pytest

from tests.mutation.mutation_runner import ROOT, SAFEGUARDS
from tests.mutation.safeguard import Safeguard


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda one: one.name)
def test_the_code_of_a_safeguard_exists_once_and_its_tests_exist(safeguard: Safeguard) -> None:
    assert (ROOT / safeguard.file).read_text().count(safeguard.code) == 1
    for test in safeguard.tests:
        file, _, name = test.partition("::")
        defined = {getattr(node, "name", "") for node in ast.walk(ast.parse((ROOT / file).read_text()))}
        assert name in defined, f"{file} has no {name}"
