import pytest

from distill.search import Evolution
from distill.search.strategy import Design, Outcome, Search, random_design
from tests.fixtures.spaces import Grid

SEARCH = Search(Grid((8, 8, 8)), seed=1, trials=200)


def distance(first: Design, second: Design) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))


def test_the_first_population_is_random_and_failed_trials_are_not_of_it() -> None:
    history = [Outcome(0, (0, 0, 0), (1.0,)), Outcome(1, (1, 1, 1), None)]
    for trial in range(2, 20):
        proposed = Evolution(population=2).propose(SEARCH, trial, 3, history)
        assert proposed == random_design(SEARCH, trial, 3)


def test_the_oldest_die_however_good_they_were() -> None:
    history = [Outcome(trial, (trial,) * 3, (-float(trial),)) for trial in range(6)]
    parents = set()
    for trial in range(6, 100):
        design = Evolution(population=3, tournament=1).propose(SEARCH, trial, 0, history)
        parents |= {trial for trial in range(6) if distance(design, (trial,) * 3) == 1}
    assert parents == {3, 4, 5}


def test_the_best_of_a_tournament_is_mutated_as_often_as_it_is_drawn() -> None:
    """The best of 4 is among 2 drawn with probability 1 - (3/4)^2."""
    history = [Outcome(trial, (trial,) * 3, (float(trial),)) for trial in range(4)]
    strategy, wanted, count = Evolution(population=4, tournament=2), 1 - 0.75**2, 4000
    designs = [strategy.propose(SEARCH, trial, 0, history) for trial in range(count)]
    found = sum(distance(design, (3, 3, 3)) == 1 for design in designs) / count
    assert abs(found - wanted) < 4 * (wanted * (1 - wanted) / count) ** 0.5


@pytest.mark.parametrize("name", ["population", "tournament"])
def test_nobody_is_no_population(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, got 0$"):
        Evolution(**{name: 0})
