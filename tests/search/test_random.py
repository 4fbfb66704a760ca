from distill.search import Random
from distill.search.strategy import Outcome, Search, random_design


class Grid:
    decisions = {"a": (1, 2, 3), "b": (4, 5)}

    def key(self, design: tuple[int, ...]) -> str:
        return str(design)


def test_past_outcomes_change_nothing() -> None:
    search = Search(Grid(), seed=1, trials=9)
    history = [Outcome(0, (0, 0), (1.0,))]
    for trial in range(9):
        proposed = Random().propose(search, trial, 2, history)
        assert proposed == random_design(search, trial, 2)
