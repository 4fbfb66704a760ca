"""Supernets whose edges mix operations, and what mixtures of them cost.

Softmax: Liu et al., DARTS, ICLR 2019, arXiv 1806.09055. One path at a time by Gumbel's maximum:
Dong and Yang, GDAS, CVPR 2019, arXiv 1910.04465.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.core.randomness import fold, uniform

NONE = "none"
KEPT = 2
"""Edges that a node has in the end, as in DARTS."""
Mixture = Mapping[str, Tensor]
Costs = Mapping[str, tuple[float, Mapping[str, Tensor]]]


@runtime_checkable
class Supernet(Protocol):
    """A network whose edges mix all operations, such as ``students.MixedCells``.

    Attributes:
        alphas: By kind of cell (edges, ops); the edge's mixture is their softmax.
        edges: By kind, of each edge its node and what it reads.
        ops: The operations by name; ``none`` gives nothing.
        skip: How much of its input each edge adds beside the mixture.
    """

    alphas: nn.ParameterDict
    edges: Mapping[str, Sequence[tuple[int, int]]]
    ops: Sequence[str]
    skip: float

    def mixed(self, mixture: Mixture) -> AbstractContextManager[None]:
        """Weigh operations otherwise for the time being; one of weight 0 is not run."""

    def costs(self, image: tuple[int, ...]) -> Costs:
        """By cost that of the skeleton, and by kind those of the operations on an edge (ops,)."""


def softmax(supernet: Supernet) -> dict[str, Tensor]:
    """Each edge's mixture, by kind (edges, ops)."""
    return {kind: alphas.softmax(1) for kind, alphas in supernet.alphas.items()}


def strongest(supernet: Supernet) -> dict[str, Tensor]:
    """One operation of each edge, by kind (edges, ops) of 0 and 1."""
    return {kind: _one_hot(alphas) for kind, alphas in supernet.alphas.items()}


def gumbel(supernet: Supernet, temperature: float, key: int) -> dict[str, Tensor]:
    """One operation of each edge, drawn with the softmax of its alphas as probabilities.

    The values are 0 and 1, the gradient is that of the softmax of alphas with Gumbel noise, divided
    by the temperature.

    Args:
        supernet: The supernet.
        temperature: Above 0.
        key: What the draws are a function of.
    """
    found = {}
    for kind, alphas in supernet.alphas.items():
        rows = torch.arange(len(alphas), device=alphas.device)
        # The middles of the 2^24 values: a logarithm of 0 would be infinite.
        drawn = uniform(fold(key, kind), rows, alphas.shape[1]).double() + 2.0**-25
        noisy = alphas - (-drawn.log()).log().to(alphas)
        soft = (noisy / temperature).softmax(1)
        # This order of the sum leaves exact zeros.
        found[kind] = (_one_hot(noisy) - soft.detach()) + soft
    return found


def choice(alphas: Tensor, ops: Sequence[str]) -> Tensor:
    """The softmax (edges, ops) of alphas without ``none``, which is no choice in the end."""
    none = torch.tensor([op == NONE for op in ops], device=alphas.device)
    return alphas.masked_fill(none, -torch.inf).softmax(1)


def shares(edges: Sequence[tuple[int, int]]) -> Tensor:
    """How much of each edge there is in the end (edges,): two of a node's edges are kept."""
    nodes = [node for node, _ in edges]
    return torch.tensor([min(1.0, KEPT / nodes.count(node)) for node in nodes])


def expected_cost(supernet: Supernet, costs: Costs, name: str) -> Tensor:
    """The mean cost of designs whose operations are drawn from the mixture without ``none``.

    Where a node has more than two edges, two of them are drawn, each pair as often as any other.

    Args:
        supernet: The supernet; the gradient is to its alphas.
        costs: Its costs.
        name: Which of them.
    """
    skeleton, of_ops = costs[name]
    parts = []
    for kind, alphas in supernet.alphas.items():
        cost, share = of_ops[kind].to(alphas), shares(supernet.edges[kind]).to(alphas)
        parts.append((share * (choice(alphas, supernet.ops) @ cost)).sum())
    return skeleton + torch.stack(parts).sum()


def _one_hot(scores: Tensor) -> Tensor:
    return F.one_hot(scores.argmax(1), scores.shape[1]).to(scores)
