"""Distributions over designs with parameters to learn; in float64, as searches are replayed."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from distill.core.randomness import fold, uniform

Choose = Callable[[int, Tensor], int]


class Policy(Protocol):
    """Makes the decisions of a design in order."""

    def walk(self, choose: Choose) -> list[Tensor]:
        """Logits (k,) of each decision's values.

        Args:
            choose: Given the place of a decision and its logits, the index that is chosen.
        """

    def parameters(self) -> Iterable[Tensor]:
        """What is learned."""


class Independent:
    """Logits of each decision on its own, zero at the start.

    Args:
        sizes: Values of each decision.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._logits = [torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in sizes]

    def walk(self, choose: Choose) -> list[Tensor]:
        """As :class:`Policy` says."""
        for place, logits in enumerate(self._logits):
            choose(place, logits)
        return list(self._logits)

    def parameters(self) -> list[Tensor]:
        """As :class:`Policy` says."""
        return list(self._logits)


class Recurrent(nn.Module):
    """An LSTM that reads each decision before it makes the next (Zoph and Le, arXiv 1611.01578).

    Args:
        sizes: Values of each decision.
        seed: Of the weights at the start, uniform between -0.1 and 0.1.
        hidden: Width of the LSTM.
    """

    def __init__(self, sizes: tuple[int, ...], seed: int, hidden: int = 32) -> None:
        super().__init__()
        # On no device at first: weights made there draw nothing from torch's generator.
        with torch.device("meta"):
            self.cell = nn.LSTMCell(hidden, hidden)
            self.inputs = nn.ModuleList(nn.Embedding(n, hidden) for n in (1, *sizes[:-1]))
            self.heads = nn.ModuleList(nn.Linear(hidden, n) for n in sizes)
        self.double().to_empty(device="cpu")
        with torch.no_grad():
            for index, parameter in enumerate(self.parameters()):
                numbers = uniform(fold(seed, "policy", index), torch.arange(parameter.numel()))
                parameter.copy_(numbers.view_as(parameter) * 0.2 - 0.1)

    def walk(self, choose: Choose) -> list[Tensor]:
        """As :class:`Policy` says."""
        found: list[Tensor] = []
        chosen, state = 0, None
        for place, (embedding, head) in enumerate(zip(self.inputs, self.heads, strict=True)):
            state = self.cell(embedding(torch.tensor([chosen])), state)
            found.append(head(state[0])[0])
            chosen = choose(place, found[-1])
        return found
