from distill.search import Random
from distill.search.strategy import Outcome, Search, random_design
from tests.fixtures.spaces import Grid


def test_past_outcomes_change_nothing() -> None:
    search = Search(Grid((3, 2)), seed=1, trials=9)
    history = [Outcome(0, (0, 0), (1.0,))]
    for trial in range(9):
        proposed = Random().propose(search, trial, 2, history)
        assert proposed == random_design(search, trial, 2)
