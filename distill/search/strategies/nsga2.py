"""NSGA-II (Deb et al., IEEE Trans. Evolutionary Computation 2002, doi 10.1109/4235.996017).

Designs above a limit are never tried, so there is no dominance by constraints. Designs are lists
of choices without an order, so crossover is uniform and a mutation takes another value.
"""

from collections.abc import Sequence
from itertools import groupby

from distill.search.pareto import crowding, fronts
from distill.search.strategy import Design, Outcome, Search, random_design, uniforms


class NSGA2:
    """Two parents by tournaments of front and crowding, crossed, each decision mutated by chance.

    Trial n belongs to generation n // population; its parents are the best of the generations
    before, as far as the trial sees them.

    Args:
        population: Trials of a generation, and parents of the next one.
        crossover: Probability that two parents are mixed; else the first one is taken.
        mutation: Probability that a decision takes another value; one over their number if None.

    Raises:
        ValueError: If ``population`` is below 2 or a probability is none.
    """

    def __init__(
        self, population: int = 20, crossover: float = 0.9, mutation: float | None = None
    ) -> None:
        if population < 2:
            raise ValueError(f"population must be at least 2, got {population}")
        for name, value in (("crossover", crossover), ("mutation", mutation)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")
        self.population, self.crossover, self.mutation = population, crossover, mutation

    def propose(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> Design:
        """The design of a trial, as :class:`distill.search.strategy.Strategy` says."""
        pair = self.parents_of(search, trial, attempt, history)
        if not pair:
            return random_design(search, trial, attempt)
        first, second = (one.design for one in pair)
        sizes = search.sizes
        mixes, *numbers = self._numbers(search, trial, attempt)
        mutation = 1 / len(sizes) if self.mutation is None else self.mutation
        child = []
        for place, size in enumerate(sizes):
            side, changes, other = numbers[4 + 3 * place : 7 + 3 * place]
            index = (second if mixes < self.crossover and side < 0.5 else first)[place]
            if changes < mutation and size > 1:
                index = (index + 1 + int(other * (size - 1))) % size
            child.append(index)
        return tuple(child)

    def parents_of(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> list[Outcome]:
        """The winners of two tournaments of two; none before there are two parents."""
        parents = self.parents(trial // self.population, history)
        if len(parents) < 2:
            return []
        numbers = self._numbers(search, trial, attempt)[1:]
        # The better of two has the lower place, as parents are in order.
        return [parents[int(min(pair) * len(parents))] for pair in (numbers[:2], numbers[2:4])]

    def _numbers(self, search: Search, trial: int, attempt: int) -> list[float]:
        return uniforms(5 + 3 * len(search.sizes), search.seed, "nsga2", trial, attempt)

    def parents(self, generation: int, history: Sequence[Outcome]) -> list[Outcome]:
        """The best outcomes of the generations before one: by front, then crowding.

        Among equals those that were parents before come first.
        """
        finished = [one for one in history if one.values is not None]
        best: list[Outcome] = []
        for number, born in groupby(finished, lambda one: one.trial // self.population):
            if number < generation:
                best = _ordered([*best, *born])[: self.population]
        return best


def _ordered(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Best first."""
    values = [one.values or () for one in outcomes]
    found: list[Outcome] = []
    for front in fronts(values):
        distance = crowding([values[row] for row in front])
        rows = zip(front, distance, strict=True)
        found += [outcomes[row] for row, _ in sorted(rows, key=lambda pair: (-pair[1], pair[0]))]
    return found
