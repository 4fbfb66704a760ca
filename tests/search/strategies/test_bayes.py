import sys

import pytest

from distill.core.errors import RecipeError
from distill.search import Bayes
from distill.search.strategy import Outcome, Search
from tests.fixtures.spaces import Grid


class Rising:
    decisions = {"width": tuple(range(0, 640, 10))}

    def key(self, design: tuple[int, ...]) -> str:
        return str(design)


def test_good_values_are_proposed_more_often() -> None:
    search = Search(Grid((4, 4)), seed=1, trials=99)
    history = [
        Outcome(trial, (trial % 4, trial // 4), (float(trial % 4 == 2),)) for trial in range(16)
    ]
    drawn = [Bayes().propose(search, trial, 0, history)[0] for trial in range(16, 40)]
    assert drawn.count(2) > 12


def test_failed_designs_are_the_worst_of_all() -> None:
    search = Search(Grid((4, 4)), seed=1, trials=99)
    history = [
        Outcome(trial, (trial % 4, trial // 4), None if trial % 4 == 2 else (-1.0,))
        for trial in range(16)
    ]
    drawn = [Bayes().propose(search, trial, 0, history)[0] for trial in range(16, 40)]
    assert drawn.count(2) < 4


def test_numbers_that_rise_are_neighbours() -> None:
    """Every fourth width was tried, the best at place 32: it draws near it, not only at it."""
    search = Search(Rising(), seed=1, trials=99)
    history = [
        Outcome(trial, (place,), (-abs(place - 32.0),))
        for trial, place in enumerate(range(0, 64, 4))
    ]
    drawn = [Bayes().propose(search, trial, 0, history)[0] for trial in range(16, 36)]
    assert sum(abs(place - 32) < 12 for place in drawn) > 12
    assert any(0 < abs(place - 32) < 4 for place in drawn)


def test_without_optuna_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RecipeError, match=r"^strategy: Bayes needs Optuna: pip install distill"):
        Bayes()
