"""How a supernet is used while its alphas are sought, and what its designs may cost."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from distill.core.errors import RecipeError
from distill.modules.supernet import Costs, Mixture, Supernet, expected_cost, gumbel, softmax

Kind = Literal["softmax", "gumbel"]


class Relaxation:
    """The mixtures of edges in training.

    Args:
        kind: ``softmax`` of the alphas, or ``gumbel``: one operation each, drawn from it.
        temperature: Of ``gumbel``, in the first and in the last epoch.
        skips: Whether edges add their input, less and less.

    Raises:
        ValueError: If a temperature is not above 0.
    """

    def __init__(self, kind: Kind, temperature: tuple[float, float], skips: bool) -> None:
        if min(temperature) <= 0:
            raise ValueError(f"temperature must be above 0, got {list(temperature)}")
        self.draws = kind == "gumbel"
        self._first, self._last = temperature
        self._skips = skips

    def mixture(self, supernet: Supernet, key: int, progress: float) -> Mixture:
        """Of each edge; what the supernet adds to it is set too.

        Args:
            supernet: The supernet.
            key: Of what is drawn.
            progress: 0 in the first epoch, 1 in the last.
        """
        supernet.skip = 1 - progress if self._skips else 0.0
        if not self.draws:
            return softmax(supernet)
        return gumbel(supernet, self._first + (self._last - self._first) * progress, key)


class CostTerm:
    """What is added to the objective for designs above a limit.

    Args:
        limits: By cost the most that a design may have.
        weight: At least 0.

    Attributes:
        limits: As given.
        weight: As given.

    Raises:
        ValueError: If the weight is negative.
    """

    def __init__(self, limits: Mapping[Any, float], weight: float) -> None:
        if weight < 0:
            raise ValueError(f"cost_weight must be at least 0, got {weight}")
        self.limits: dict[str, float] = dict(limits)
        self.weight = weight
        self._costs: Costs = {}

    def set_up(self, supernet: Supernet, image: tuple[int, ...]) -> None:
        """Find out what operations cost for images (c, h, w).

        Raises:
            RecipeError: If no design can be below a limit.
        """
        self._costs = supernet.costs(image)
        for name, most in self.limits.items():
            if most <= self._costs[name][0]:
                told = f"{most:g}, what all designs share has {self._costs[name][0]:,.0f}"
                raise RecipeError(f"model.limits.{name}", told)

    def shares(self, supernet: Supernet) -> dict[str, Tensor]:
        """The mean cost of designs over its limit, by cost."""
        pairs = self.limits.items()
        return {name: expected_cost(supernet, self._costs, name) / most for name, most in pairs}

    def value(self, shares: Mapping[str, Tensor]) -> Tensor:
        """The sum of ``weight * max(0, share - 1)``."""
        over = [(share - 1).clamp(min=0) for share in shares.values()]
        return self.weight * torch.stack(over).sum() if over else torch.zeros(())
