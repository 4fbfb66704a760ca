from types import SimpleNamespace
from typing import Any

import pytest

from distill.wiring.logged_steps import logs_this_step


@pytest.mark.parametrize(("every", "logged"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), (0, [])])
def test_every_nth_step_is_logged_and_with_zero_none(every: int, logged: list[int]) -> None:
    def trainer(step: int) -> Any:
        return SimpleNamespace(global_step=step, log_every_n_steps=every)

    assert [step for step in range(5) if logs_this_step(trainer(step))] == logged
