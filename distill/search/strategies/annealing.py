"""Simulated annealing (Kirkpatrick et al., Science 1983, doi 10.1126/science.220.4598.671).

The temperature is in the objective's unit: it starts at the standard deviation of the first values
and ends at a hundredth of it.
"""

import math
import statistics
from collections.abc import Sequence

from distill.search.strategy import Design, Outcome, Search, mutated, random_design, uniforms


class Annealing:
    """Changes one decision of the current design; a worse one is accepted by chance.

    With T = T_0 * 0.01^(i / (trials - warm)) for the i-th outcome after the first, a design whose
    value is d higher becomes the current one with probability min(1, exp(d / T)).

    Args:
        warm: Random designs at the start, of which the best becomes the current one.

    Raises:
        ValueError: If ``warm`` is below 2, which has no spread.
    """

    def __init__(self, warm: int = 5) -> None:
        if warm < 2:
            raise ValueError(f"warm must be at least 2, got {warm}")
        self.warm = warm

    def propose(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> Design:
        """The design of a trial, as :class:`distill.search.strategy.Strategy` says."""
        current = self.current(search, history)
        if current is None:
            return random_design(search, trial, attempt)
        return mutated(search, current.design, trial, attempt)

    def parents_of(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> list[Outcome]:
        """The current outcome, if there is one."""
        current = self.current(search, history)
        return [] if current is None else [current]

    def current(self, search: Search, history: Sequence[Outcome]) -> Outcome | None:
        """The current outcome after these; None before ``warm`` of them have a value."""
        known = [one for one in history if one.values is not None]
        first, later = known[: self.warm], known[self.warm :]
        if len(first) < self.warm:
            return None
        start = statistics.pstdev(one.value for one in first)
        current, steps = max(first, key=lambda one: one.value), max(1, search.trials - self.warm)
        for step, one in enumerate(later, 1):
            temperature = start * 0.01 ** (step / steps)
            if accepted(one.value - current.value, temperature, search.seed, one.trial):
                current = one
        return current


def accepted(gain: float, temperature: float, seed: int, trial: int) -> bool:
    """Whether a gain is accepted: with probability min(1, exp(gain / temperature))."""
    if gain >= 0:
        return True
    if temperature == 0:
        return False
    return uniforms(1, seed, "accept", trial)[0] < math.exp(gain / temperature)
