"""All strategies: a search that was killed anywhere goes on as if it had not been."""

import json
from collections.abc import Callable

import pytest

from distill.core.randomness import fold, permutation
from distill.search import NSGA2, Annealing, Bayes, Evolution, Random, Reinforcement
from distill.search.strategy import Design, Outcome, Search, Strategy, draw, visible
from tests.fixtures.spaces import Grid

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "random": Random,
    "annealing": lambda: Annealing(warm=3),
    "evolution": lambda: Evolution(population=4, tournament=2),
    "independent": Reinforcement,
    "lstm": lambda: Reinforcement(policy="lstm"),
    "nsga2": lambda: NSGA2(population=4),
    "bayes": lambda: Bayes(warm=4),
}
SEARCH, TRIALS = Search(Grid((8, 8, 8)), seed=5, trials=12), 12


def outcome(trial: int, design: Design) -> Outcome:
    """A value that depends on the design and the trial; one trial in seven fails."""
    if trial % 7 == 3:
        return Outcome(trial, design, None)
    noise = fold(trial, "noise") % 100 / 100
    return Outcome(trial, design, (sum(design) + noise, float(-(design[0] ** 2))))


def designs(make: Callable[[], Strategy], parallel: int, order: int, killed: bool) -> list[Design]:
    """Of all trials, which end in an order of their own; killed, all but outcomes is forgotten."""
    strategy, found, running, done = make(), list[Design](), list[int](), list[Outcome]()
    for step in range(10 * TRIALS):
        history = visible(done, len(found), parallel)
        if len(found) < TRIALS and history is not None and len(running) < parallel:
            known = set(found)
            design = draw(strategy, SEARCH, len(found), history, lambda d, k=known: d not in k)
            assert design is not None
            running.append(len(found))
            found.append(design)
        elif running:
            place = int(permutation(fold(order, step), len(running))[0])
            trial = running.pop(place)
            done.append(outcome(trial, found[trial]))
            if not killed:
                continue
            strategy = make()
            done = [
                Outcome(trial, tuple(design), None if values is None else tuple(values))
                for trial, design, values in json.loads(
                    json.dumps([(one.trial, one.design, one.values) for one in done])
                )
            ]
    assert len(done) == TRIALS
    return found


@pytest.mark.parametrize("parallel", [1, 4, 8])
@pytest.mark.parametrize("name", STRATEGIES)
def test_designs_are_the_same_after_kills_and_in_any_finishing_order(
    name: str, parallel: int
) -> None:
    make = STRATEGIES[name]
    straight = designs(make, parallel, order=0, killed=False)
    assert designs(make, parallel, order=1, killed=True) == straight
    assert len(set(straight)) == TRIALS
