"""Does any strategy choose better than random search on the table of all designs?

python experiments/digits_cells/strategies.py [SEED]

A repeat is a search of 40 evaluations, by the accuracies of one seed of the table. Its choice is
rated by its regret: how far it is, with another seed, below the best of all designs. *Finals*
choose among the search's best five by the third seed. Prints the table of the README.
SEED is the first search's, 0 if left out.
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from distill.results.statistics import holm, paired_difference, paired_p
from distill.search.strategy import Strategy
from experiments.digits_cells.cells import EDGES, EdgeCells
from experiments.digits_cells.table import SEEDS, Row, read
from experiments.landscapes.landscapes import STRATEGIES, searched

TRIALS, REPEATS, TOP = 40, 300, 5
FEWER = {"bayes": 60}
"""Repeats of what takes seconds each; they are the first ones of the others."""
Regrets = Mapping[str, Sequence[tuple[float, float]]]


class Table(EdgeCells):
    """The space with the accuracies of one seed.

    Args:
        rows: Of the table.
        seed: Which of them count.
    """

    def __init__(self, rows: Sequence[Row], seed: int) -> None:
        super().__init__()
        kept = [row for row in rows if row["seed"] == seed]
        self._values = {tuple(row[edge] for edge in EDGES): row["val_top1"] for row in kept}
        self.best = max(self._values.values())

    def measured(self, design: Sequence[int], trial: int = 0) -> tuple[float]:
        """The accuracy in percent; a run is exact, so it does not depend on the trial."""
        return (self._values[tuple(self.chosen(design)[edge] for edge in EDGES)],)


def regrets(
    strategy: Strategy,
    rows: Sequence[Row],
    repeats: int = REPEATS,
    trials: int = TRIALS,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Of each repeat the regret of the search's choice, and of the finals' among its best.

    Args:
        strategy: Proposes designs.
        rows: Of the table.
        repeats: Searches; the seeds of the table change places from one to the next.
        trials: Evaluations of a search.
        seed: Of the first search.
    """
    tables, found = [Table(rows, seed) for seed in SEEDS], []
    for repeat in range(repeats):
        seen, finals, truth = (tables[(repeat + place) % len(SEEDS)] for place in range(3))
        outcomes = searched(strategy, seen, seed + repeat, trials)
        ranked = [one.design for one in sorted(outcomes, key=lambda one: -one.value)]
        chosen = (ranked[0], max(ranked[:TOP], key=finals.measured))
        first, final = (truth.best - truth.measured(design)[0] for design in chosen)
        found.append((first, final))
    return found


def table(found: Regrets) -> str:
    """Mean regrets, and what the strategies gain over random search, with Holm's p."""
    lines = [
        "| strategy | regret | gain over random search | p | p, Holm | regret after finals |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    first = {name: [pair[0] for pair in pairs] for name, pairs in found.items()}
    others = [name for name in found if name != "random"]
    p_values = {name: paired_p(first["random"][: len(first[name])], first[name]) for name in others}
    corrected = dict(zip(others, holm(list(p_values.values())), strict=True))
    for name, pairs in found.items():
        cells = [name, f"{np.mean(first[name]):.2f}"]
        gain = paired_difference(first["random"][: len(pairs)], first[name])
        shown = f"{gain.mean:+.2f} ± {gain.high - gain.mean:.2f}"
        p = (f"{each[name]:.2g}" if name in each else "" for each in (p_values, corrected))
        cells += [shown if name in p_values else "", *p]
        cells.append(f"{np.mean([pair[1] for pair in pairs]):.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    rows, found = read(), dict[str, list[tuple[float, float]]]()
    seed = int(sys.argv[1]) if sys.argv[1:] else 0
    for name, strategy in STRATEGIES.items():
        print(name, file=sys.stderr)
        found[name] = regrets(strategy, rows, FEWER.get(name, REPEATS), seed=seed)
    print(table(found))


if __name__ == "__main__":
    main()
