"""Two optimizers that take turns, as one: one state to save, one schedule, one step counted."""

from typing import Any, Literal

import torch
from torch.optim import Optimizer


class TwoOptimizers(Optimizer):
    """The optimizer of a network's weights with that of its architecture beside it.

    A schedule and gradient clipping see the groups of the former alone.

    Args:
        weights: Optimizes the weights.
        architecture: Optimizes what is left.
    """

    def __init__(self, weights: Optimizer, architecture: Optimizer) -> None:
        super().__init__([torch.zeros(0)], {})
        self.weights, self.architecture, self._turn = weights, architecture, weights
        self.defaults = weights.defaults
        self._share()

    def take_turn(self, name: Literal["weights", "architecture"]) -> None:
        """Whose the next steps are."""
        self._turn = self.weights if name == "weights" else self.architecture

    def step(self, closure: Any = None) -> Any:  # noqa: ANN401 - torch's
        """A step of the one whose turn it is."""
        return self._turn.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of both."""
        self.weights.zero_grad(set_to_none)
        self.architecture.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        both = {"weights": self.weights, "architecture": self.architecture}
        return {name: optimizer.state_dict() for name, optimizer in both.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the states of both."""
        self.weights.load_state_dict(state_dict["weights"])
        self.architecture.load_state_dict(state_dict["architecture"])
        self._share()

    def _share(self) -> None:
        self.param_groups, self.state = self.weights.param_groups, self.weights.state
