"""Each task loss broken by hand; its tests must notice."""

from pathlib import Path

import pytest

from tests.losses import test_mutants as runner
from tests.losses.task.mutants import MUTANTS

CASES = [
    pytest.param(module, right, wrong, id=f"{module}-{name}".replace(" ", "_"))
    for module, mutants in MUTANTS.items()
    for name, (right, wrong) in mutants.items()
]


@pytest.mark.parametrize(("module", "right", "wrong"), CASES)
def test_a_mutant_is_a_change_of_the_source(module: str, right: str, wrong: str) -> None:
    compile(runner.broken(module, right, wrong), module, "exec")
    assert right != wrong


@pytest.mark.slow
@pytest.mark.parametrize(("module", "right", "wrong"), CASES)
def test_a_broken_loss_is_noticed(module: str, right: str, wrong: str, tmp_path: Path) -> None:
    runner.test_a_broken_loss_is_noticed(module, right, wrong, tmp_path)
