"""What a search strategy is: a pure function of the search, a trial's number and past outcomes.

Nothing is saved but outcomes: a search that was killed goes on by asking again. With ``parallel``
trials at once, trial n is given the outcomes of trials 0 .. n - ``parallel`` in order and of no
others, so its design depends on no clock.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from distill.core.randomness import fold

Design = tuple[int, ...]
ATTEMPTS = 50


class Space(Protocol):
    """Designs: one index per decision, into the values of that decision."""

    @property
    def decisions(self) -> Mapping[str, Sequence[Any]]:
        """Values by name, in the order of a design."""

    def key(self, design: Sequence[int]) -> str:
        """One line that two designs share if they mean the same."""


@dataclass(frozen=True)
class Search:
    """What stays the same throughout a search.

    Attributes:
        space: The designs.
        seed: Of all draws.
        trials: How many there will be.
    """

    space: Space
    seed: int
    trials: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each decision."""
        return tuple(len(values) for values in self.space.decisions.values())


@dataclass(frozen=True)
class Outcome:
    """What came out of a trial.

    Attributes:
        trial: Its number.
        design: What was tried.
        values: One per objective, more is always better; None if the trial failed, which is worse
            than any value.
    """

    trial: int
    design: Design
    values: tuple[float, ...] | None

    @property
    def value(self) -> float:
        """The first objective; minus infinity if the trial failed."""
        return -math.inf if self.values is None else self.values[0]


class Strategy(Protocol):
    """Proposes designs."""

    def propose(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> Design:
        """The design of a trial.

        Args:
            search: The search.
            trial: The trial's number.
            attempt: How many designs of this trial were refused, by a limit or as known.
            history: What the trial may see, in the order of trials: see :func:`visible`.
        """


@runtime_checkable
class Breeding(Strategy, Protocol):
    """A strategy whose designs have parents."""

    def parents_of(
        self, search: Search, trial: int, attempt: int, history: Sequence[Outcome]
    ) -> Sequence[Outcome]:
        """What the design of :meth:`Strategy.propose` is made from; empty if drawn at random."""


def visible(history: Sequence[Outcome], trial: int, parallel: int) -> list[Outcome] | None:
    """The outcomes that a trial may see, in order; None while one of them is not there yet.

    Args:
        history: Outcomes in any order.
        trial: The trial's number.
        parallel: Trials at once.
    """
    wanted = max(0, trial - parallel + 1)
    seen = sorted((one for one in history if one.trial < wanted), key=lambda one: one.trial)
    return seen if len(seen) == wanted else None


def draw(
    strategy: Strategy,
    search: Search,
    trial: int,
    history: Sequence[Outcome],
    allowed: Callable[[Design], bool],
) -> Design | None:
    """The first design of a trial that is allowed; None if there was none among many.

    A strategy that is sure of one design proposes it again and again: after 50 refusals
    the designs are drawn at random.

    Args:
        strategy: Proposes.
        search: The search.
        trial: The trial's number.
        history: What the trial may see.
        allowed: Whether a design is within the limits and new.
    """
    for attempt in range(ATTEMPTS):
        design = strategy.propose(search, trial, attempt, history)
        if allowed(design):
            return design
    for attempt in range(ATTEMPTS, 100 * ATTEMPTS):
        design = random_design(search, trial, attempt)
        if allowed(design):
            return design
    return None


def parents(
    strategy: object, search: Search, trial: int, design: Design, history: Sequence[Outcome]
) -> list[int]:
    """The trials that a trial's design was made from; none where it was drawn at random.

    Args:
        strategy: Proposed it.
        search: The search.
        trial: The trial's number.
        design: Of the trial, as :func:`draw` gave it.
        history: What the trial may see.
    """
    if not isinstance(strategy, Breeding):
        return []
    for attempt in range(ATTEMPTS):
        if strategy.propose(search, trial, attempt, history) == design:
            return [one.trial for one in strategy.parents_of(search, trial, attempt, history)]
    return []


def random_design(search: Search, trial: int, attempt: int) -> Design:
    """Each decision at random, as a function of seed, trial and attempt."""
    sizes = search.sizes
    numbers = uniforms(len(sizes), search.seed, "design", trial, attempt)
    return tuple(int(number * size) for number, size in zip(numbers, sizes, strict=True))


def mutated(search: Search, design: Design, trial: int, attempt: int) -> Design:
    """The design with one decision changed to another value; more after every tenth refusal.

    Where all neighbours of a design are known, so the ones behind them are found.

    Args:
        search: The search.
        design: The design.
        trial: The trial's number.
        attempt: How many designs of this trial were refused.
    """
    sizes = search.sizes
    places = [place for place, size in enumerate(sizes) if size > 1]
    changed = list(design)
    for step in range(1 + attempt // 10):
        first, second = uniforms(2, search.seed, "mutation", trial, attempt, step)
        place = places[int(first * len(places))]
        other = 1 + int(second * (sizes[place] - 1))
        changed[place] = (changed[place] + other) % sizes[place]
    return tuple(changed)


def uniforms(count: int, *parts: int | str) -> list[float]:
    """Numbers in [0, 1), a function of the key's parts."""
    key = fold(*parts)
    return [(fold(key, place) >> 10) / 2**53 for place in range(count)]
