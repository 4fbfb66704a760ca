import pytest

from distill.search import NSGA2
from distill.search.strategy import Outcome, Search, random_design
from tests.fixtures.spaces import Grid

SEARCH = Search(Grid((8, 8, 8, 8)), seed=1, trials=99)
#        4 and 3 are alone at the front; 0, 1 and 2 follow, of which 1 is between the two others.
VALUES = [(0.0, 5.0), (2.0, 4.0), (3.0, 3.0), (5.0, 4.0), (4.0, 6.0)]


def history(values: list[tuple[float, float]]) -> list[Outcome]:
    return [Outcome(trial, (trial,) * 4, value) for trial, value in enumerate(values)]


def test_parents_are_ordered_by_front_and_crowding() -> None:
    one = NSGA2(population=5).parents(1, history(VALUES))
    assert [each.trial for each in one] == [3, 4, 0, 2, 1]


def test_a_generation_replaces_only_what_is_worse() -> None:
    """Two at a time: 3 replaces 1, and 4 then 0, which it dominates."""
    two = NSGA2(population=2)
    assert [each.trial for each in two.parents(1, history(VALUES))] == [0, 1]
    assert [each.trial for each in two.parents(2, history(VALUES))] == [0, 3]
    assert [each.trial for each in two.parents(3, history(VALUES))] == [3, 4]


def test_failed_trials_and_the_own_generation_are_no_parents() -> None:
    known = [*history(VALUES[:2]), Outcome(2, (2,) * 4, None)]
    assert NSGA2(population=3).propose(SEARCH, 2, 0, known[:2]) == random_design(SEARCH, 2, 0)
    assert {each.trial for each in NSGA2(population=3).parents(1, known)} == {0, 1}


def test_a_child_has_its_parents_choices_where_nothing_mutates() -> None:
    known = history([(0.0, 1.0), (1.0, 0.0)])
    mixed = {NSGA2(2, mutation=0.0).propose(SEARCH, trial, 0, known) for trial in range(2, 200)}
    assert {index for design in mixed for index in design} == {0, 1}
    assert len(mixed) == 16
    same = {NSGA2(2, 0.0, 0.0).propose(SEARCH, trial, 0, known) for trial in range(2, 50)}
    assert same == {(0,) * 4, (1,) * 4}


def test_a_decision_mutates_with_the_probability_given() -> None:
    known = history([(0.0, 0.0), (1.0, 1.0)])
    strategy, count = NSGA2(2, crossover=0.0, mutation=0.25), 2000
    designs = [strategy.propose(SEARCH, trial, 0, known) for trial in range(2, count)]
    changed = sum(index not in (0, 1) for design in designs for index in design) / (4 * count)
    assert abs(changed - 0.25 * 6 / 7) < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 1}, "population must be at least 2, got 1"),
        ({"crossover": 1.5}, r"crossover must be between 0 and 1, got 1\.5"),
        ({"mutation": -1.0}, r"mutation must be between 0 and 1, got -1\.0"),
    ],
)
def test_what_is_no_setting_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        NSGA2(**arguments)
