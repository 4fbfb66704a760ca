"""Regularised evolution (Real et al., AAAI 2019, arXiv 1802.01548): the oldest die."""

from collections.abc import Sequence

from distill.search.strategy import Design, Outcome, Search, mutated, random_design, uniforms


class Evolution:
    """Mutates one decision of the best of a tournament among the last finished trials.

    The first ``population`` trials with a value are random. There is no crossover.

    Args:
        population: How many of the last finished trials are alive.
        tournament: How many of them are drawn, with replacement.

    Raises:
        ValueError: If one of them is below 1.
    """

    def __init__(self, population: int = 20, tournament: int = 5) -> None:
        for name, value in (("population", population), ("tournament", tournament)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.population, self.tournament = population, tournament

    def propose(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> Design:
        """The design of a trial, as :class:`distill.search.strategy.Strategy` says."""
        parents = self.parents_of(search, trial, attempt, history)
        if not parents:
            return random_design(search, trial, attempt)
        return mutated(search, parents[0].design, trial, attempt)

    def parents_of(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> list[Outcome]:
        """The winner of the tournament; none before there is a population."""
        alive = [one for one in history if one.values is not None][-self.population :]
        if len(alive) < self.population:
            return []
        numbers = uniforms(self.tournament, search.seed, "tournament", trial, attempt)
        drawn = [alive[int(number * len(alive))] for number in numbers]
        return [max(drawn, key=lambda one: one.value)]
