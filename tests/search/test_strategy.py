from itertools import permutations
from math import prod

import pytest

from distill.search import NSGA2, Evolution, Random
from distill.search.strategy import (
    Design,
    Outcome,
    Search,
    draw,
    mutated,
    parents,
    random_design,
    visible,
)
from tests.fixtures.spaces import Grid

SEARCH = Search(Grid((3, 1, 2)), seed=3, trials=9)


def outcomes(count: int) -> list[Outcome]:
    return [Outcome(trial, (0, 0, 0), (float(trial),)) for trial in range(count)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_trial_sees_what_is_parallel_trials_old_in_the_order_of_trials(
    order: tuple[int, ...],
) -> None:
    known = [outcomes(3)[trial] for trial in order]
    assert visible(known, trial=4, parallel=2) == outcomes(3)
    assert visible(known, trial=4, parallel=4) == outcomes(1)
    assert visible(known, trial=1, parallel=2) == []


def test_a_trial_waits_for_what_it_may_see() -> None:
    assert visible(outcomes(3)[1:], trial=4, parallel=2) is None
    assert visible(outcomes(2), trial=4, parallel=2) is None


def test_random_designs_are_all_there_are_and_depend_on_seed_trial_and_attempt() -> None:
    drawn = [random_design(SEARCH, trial, 0) for trial in range(600)]
    assert {design: drawn.count(design) > 60 for design in set(drawn)} == {
        (a, 0, c): True for a in range(3) for c in range(2)
    }
    assert drawn == [random_design(SEARCH, trial, 0) for trial in range(600)]
    assert drawn != [random_design(SEARCH, trial, 1) for trial in range(600)]
    assert drawn != [random_design(Search(SEARCH.space, 4, 9), trial, 0) for trial in range(600)]


def test_a_mutation_changes_one_decision_that_has_another_value() -> None:
    found = {
        mutated(SEARCH, (1, 0, 0), trial, attempt) for trial in range(60) for attempt in (0, 9)
    }
    assert found == {(0, 0, 0), (2, 0, 0), (1, 0, 1)}


def test_a_mutation_goes_further_after_ten_refusals() -> None:
    search = Search(Grid((8, 8, 8)), seed=3, trials=9)
    changed = {
        attempt: max(
            sum(map(bool, mutated(search, (0, 0, 0), trial, attempt))) for trial in range(60)
        )
        for attempt in (9, 10, 20)
    }
    assert changed == {9: 1, 10: 2, 20: 3}


def test_a_refused_design_is_drawn_anew_until_all_are_known() -> None:
    known: set[Design] = set()
    for trial in range(6):
        design = draw(Random(), SEARCH, trial, [], lambda design: design not in known)
        assert design is not None
        known.add(design)
    assert len(known) == prod(SEARCH.sizes)
    assert draw(Random(), SEARCH, 6, [], lambda design: design not in known) is None


def test_parents_are_those_of_the_attempt_that_was_not_refused() -> None:
    search = Search(Grid((8, 8, 8)), seed=3, trials=60)
    history = [Outcome(trial, (trial,) * 3, (float(trial),)) for trial in range(6)]
    strategy, refused = Evolution(population=6, tournament=1), set[Design]()
    for trial in range(6, 40):
        design = draw(strategy, search, trial, history, lambda design: design not in refused)
        assert design is not None
        (parent,) = parents(strategy, search, trial, design, history)
        assert sum(index != parent for index in design) == 1
        refused.add(design)
    assert parents(strategy, search, 3, random_design(search, 3, 0), history[:3]) == []
    assert parents(Random(), search, 6, random_design(search, 6, 0), history) == []


def test_two_parents_are_told_where_designs_are_crossed() -> None:
    search = Search(Grid((8, 8, 8)), seed=3, trials=60)
    known = [Outcome(0, (0, 0, 0), (0.0, 1.0)), Outcome(1, (1, 1, 1), (1.0, 0.0))]
    strategy, mixed = NSGA2(2, crossover=1.0, mutation=0.0), 0
    for trial in range(2, 40):
        design = strategy.propose(search, trial, 0, known)
        found = parents(strategy, search, trial, design, known)
        assert len(found) == 2
        assert set(design) <= set(found)
        mixed += len(set(design)) == 2
    assert mixed


def test_a_strategy_that_insists_is_not_asked_for_ever() -> None:
    class Insists:
        def propose(
            self, search: Search, trial: int, attempt: int, history: list[Outcome]
        ) -> Design:
            return (0, 0, 0)

    assert draw(Insists(), SEARCH, 0, [], lambda design: design != (0, 0, 0)) is not None
