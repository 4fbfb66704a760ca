"""Enumerated landscapes: what does each strategy choose after 100 evaluations?

python experiments/landscapes/landscapes.py
python experiments/landscapes/landscapes.py 3000 200 random evolution nsga2

A landscape has 6 decisions of 5 values, 15,625 designs. The value of design x is
sum_i a_i[x_i] + 0.5 sum_{i<j} b_ij[x_i, x_j], all a and b standard normal, then scaled to mean 0
and standard deviation 1 over all designs; an evaluation adds noise of standard deviation 0.3. A
second objective, for NSGA-II, is the cost sum_i c_i[x_i] with c standard normal, scaled likewise
and known exactly. Writes ``results.csv`` beside itself and prints the table of the README; with
the first landscape, their number and strategies it writes nothing, and prints the table of those.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy import stats

from distill.core.randomness import fold
from distill.search import NSGA2, Annealing, Bayes, Evolution, Random, Reinforcement
from distill.search.pareto import hypervolume
from distill.search.strategy import Design, Outcome, Search, Space, Strategy, draw, visible

HERE = Path(__file__).parent
DECISIONS, VALUES, NOISE = 6, 5, 0.3
LANDSCAPES, TRIALS = 40, 100
STRATEGIES: Mapping[str, Strategy] = {
    "random": Random(),
    "annealing": Annealing(),
    "evolution": Evolution(),
    "reinforcement": Reinforcement(),
    "reinforcement, lstm": Reinforcement(policy="lstm"),
    "bayes": Bayes(),
    "nsga2": NSGA2(),
}


class Landscape:
    """All designs with their values and costs.

    Args:
        seed: Of the terms.
    """

    def __init__(self, seed: int) -> None:
        self.decisions = {f"d{place}": tuple("abcde") for place in range(DECISIONS)}
        draws = np.random.default_rng(fold(seed, "landscape"))
        designs = np.array(list(product(range(VALUES), repeat=DECISIONS)))
        places = range(DECISIONS)
        single, cost = draws.standard_normal((2, DECISIONS, VALUES))
        value = sum(single[i][designs[:, i]] for i in places)
        for i, j in combinations(places, 2):
            pair = draws.standard_normal((VALUES, VALUES))
            value = value + 0.5 * pair[designs[:, i], designs[:, j]]
        self.values = stats.zscore(value)
        self.costs = stats.zscore(sum(cost[i][designs[:, i]] for i in places))
        self._seed = seed

    def key(self, design: Sequence[int]) -> str:
        """The design itself."""
        return str(tuple(design))

    def row(self, design: Sequence[int]) -> int:
        """Its place among all designs."""
        return int(np.ravel_multi_index(tuple(design), (VALUES,) * DECISIONS))

    def measured(self, design: Sequence[int], trial: int) -> tuple[float, float]:
        """A value with noise that depends on the trial, and the cost below zero."""
        noise = np.random.default_rng(fold(self._seed, "noise", trial)).standard_normal()
        row = self.row(design)
        return float(self.values[row] + NOISE * noise), float(-self.costs[row])


class Measured(Space, Protocol):
    """Designs that can be measured."""

    def measured(self, design: Sequence[int], trial: int) -> tuple[float, ...]:
        """The values of a trial's design, more is better."""


@dataclass(frozen=True)
class Chosen:
    """What a search found.

    Attributes:
        rank: Percent of all designs that are truly better than the one with the best measurement.
        hypervolume: Of what was tried, by true value and cost, as a share of the true front's.
    """

    rank: float
    hypervolume: float


def searched(
    strategy: Strategy, space: Measured, seed: int, trials: int, parallel: int = 1
) -> list[Outcome]:
    """The outcomes of a search in which no design is tried twice."""
    search, found = Search(space, seed, trials), list[Outcome]()
    tried: set[str] = set()

    def new(design: Design) -> bool:
        return space.key(design) not in tried

    for trial in range(trials):
        history = visible(found, trial, parallel) or []
        design = draw(strategy, search, trial, history, new)
        if design is None:
            break
        tried.add(space.key(design))
        found.append(Outcome(trial, design, space.measured(design, trial)))
    return found


def choice(landscape: Landscape, outcomes: Sequence[Outcome]) -> Chosen:
    """What came out, by the true values."""
    best = max(outcomes, key=lambda one: one.value)
    better = landscape.values > landscape.values[landscape.row(best.design)]
    rows = np.array([landscape.row(one.design) for one in outcomes])
    both = np.stack([landscape.values, -landscape.costs], 1)
    worst = (float(both[:, 0].min()), float(both[:, 1].min()))
    whole = hypervolume(both.tolist(), worst)
    return Chosen(100 * float(better.mean()), hypervolume(both[rows].tolist(), worst) / whole)


def run(
    strategies: Mapping[str, Strategy], seeds: Sequence[int], trials: int, parallel: int = 1
) -> dict[str, list[Chosen]]:
    """Each strategy on each landscape."""
    found: dict[str, list[Chosen]] = {}
    for name, strategy in strategies.items():
        print(name, file=sys.stderr)
        found[name] = []
        for seed in seeds:
            landscape = Landscape(seed)
            outcomes = searched(strategy, landscape, seed, trials, parallel)
            found[name].append(choice(landscape, outcomes))
    return found


def table(found: Mapping[str, Sequence[Chosen]]) -> str:
    """Mean rank, wins over random, and hypervolume with the paired interval of its gain."""
    lines = [
        "| strategy | mean rank, % | wins over random | hypervolume | above random |",
        "| --- | --- | --- | --- | --- |",
    ]
    base = found["random"]
    for name, chosen in found.items():
        pairs = list(zip(chosen, base, strict=True))
        wins = sum(one.rank < other.rank for one, other in pairs)
        gains = np.array([one.hypervolume - other.hypervolume for one, other in pairs])
        half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
        cells = [
            name,
            f"{np.mean([one.rank for one in chosen]):.2f}",
            "" if name == "random" else f"{wins} of {len(pairs)}",
            f"{np.mean([one.hypervolume for one in chosen]):.2f}",
            "" if name == "random" else f"{gains.mean():+.2f} ± {half:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:]:
        first, count, *names = sys.argv[1:]
        seeds = range(int(first), int(first) + int(count))
        print(table(run({name: STRATEGIES[name] for name in names}, seeds, TRIALS)))
        return
    found = run(STRATEGIES, range(LANDSCAPES), TRIALS)
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["landscape", "strategy", "rank", "hypervolume"])
        for seed in range(LANDSCAPES):
            for name, chosen in found.items():
                one = chosen[seed]
                writer.writerow([seed, name, f"{one.rank:.4f}", f"{one.hypervolume:.6f}"])
    print(table(found))


if __name__ == "__main__":
    main()
