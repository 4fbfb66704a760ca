"""The design that a supernet says, as DARTS derives it (arXiv 1806.09055), under limits."""

from collections.abc import Mapping, Sequence
from typing import Literal

from distill.search.knapsack import knapsack

By = Literal["magnitude", "perturbation"]
Nodes = dict[str, list[list[tuple[int, str]]]]
KEPT, NONE = 2, "none"


class Derived:
    """Takes the designs of supernets, one per seed, which are trained by gradients or by blocks.

    By blocks it is what :class:`distill.search.Blockwise` rates best, and nothing here matters.

    Of each node the two strongest edges are kept, by their strongest operation; then the operations
    of these that are strongest in sum among all that are within the limits. ``none`` is no choice.

    Args:
        by: What is strong. ``magnitude``: the logarithm of the softmax of the alphas, so that the
            most likely design is taken. ``perturbation``: by how much the supernet's loss grows
            without it (Wang et al., arXiv 2108.04392), all others left in: the Kullback-Leibler
            divergence from the teacher, or without one that of the labels.
        images: Validation images that the loss is of, at most.

    Raises:
        ValueError: If ``by`` is neither, or there are no images.
    """

    def __init__(self, by: By = "magnitude", images: int = 512) -> None:
        if by not in ("magnitude", "perturbation"):
            raise ValueError(f"by must be magnitude or perturbation, got {by!r}")
        if images < 1:
            raise ValueError(f"images must be at least 1, got {images}")
        self.by, self.images = by, images


def derive(
    strengths: Mapping[str, Sequence[Sequence[float]]],
    edges: Mapping[str, Sequence[tuple[int, int]]],
    ops: Sequence[str],
    costs: Sequence[tuple[float, Mapping[str, Sequence[float]], float]] = (),
) -> Nodes | None:
    """The cells that are strongest within the limits, by kind, of each node what it reads and how.

    Args:
        strengths: By kind of cell, of each edge and operation.
        edges: By kind, of each edge its node and what it reads.
        ops: The operations.
        costs: Of each limited cost what all designs have, by kind that of each operation on an
            edge, and the limit.

    Returns:
        None if no operations of the kept edges are within the limits.
    """
    real = [k for k, op in enumerate(ops) if op != NONE]
    kept = [
        (kind, edge) for kind in edges for edge in _strongest(strengths[kind], edges[kind], real)
    ]
    values = [[strengths[kind][edge][k] for k in real] for kind, edge in kept]
    prices = [[[of_ops[kind][k] for _, of_ops, _ in costs] for k in real] for kind, _ in kept]
    chosen = knapsack(values, prices, [most - fixed for fixed, _, most in costs])
    if chosen is None:
        return None
    found: Nodes = {kind: [[] for _ in {node for node, _ in edges[kind]}] for kind in edges}
    for (kind, edge), option in zip(kept, chosen, strict=True):
        node, source = edges[kind][edge]
        found[kind][node].append((source, ops[real[option]]))
    return found


def _strongest(
    strengths: Sequence[Sequence[float]], edges: Sequence[tuple[int, int]], real: Sequence[int]
) -> list[int]:
    """Of each node two edges, in order; the earlier one of equals."""
    best = [max(of_ops[k] for k in real) for of_ops in strengths]
    found: list[int] = []
    for node in sorted({node for node, _ in edges}):
        own = [edge for edge, (at, _) in enumerate(edges) if at == node]
        found += sorted(sorted(own, key=lambda edge: -best[edge])[:KEPT])
    return found
