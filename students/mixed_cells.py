"""Cells whose edges mix all operations, to find cells by gradients (DARTS, arXiv 1806.09055).

Each node may read every state before it. An edge gives the sum of all operations of its input, each
with a weight: the softmax of the edge's alphas, or what a search puts in its place. Cells of a kind
share their alphas. Batch norms scale and shift nothing: the alphas do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from students.cells import Cells
from students.checks import check_positive, check_sizes
from students.conv_blocks import Fit, operation, unit

NONE = "none"
Sources = Sequence[Sequence[int]]
Mixture = Mapping[str, Tensor]


class MixedCell(nn.Module):
    """A graph of nodes whose edges each mix all operations.

    Args:
        given: Channels and halvings of its two inputs.
        width: Channels of each node.
        halvings: Of its nodes.
        nodes: Of each node the states that it may read.
        ops: Names of the operations; ``none`` gives nothing.
    """

    def __init__(
        self,
        given: Sequence[tuple[int, int]],
        width: int,
        halvings: int,
        nodes: Sources,
        ops: Sequence[str],
    ) -> None:
        super().__init__()
        self.width, self.halvings, self.nodes = width, halvings, nodes
        self.fits = nn.ModuleList(Fit(before, width, halvings - at) for before, at in given)
        self.mixed = nn.ModuleList(
            nn.ModuleList(
                nn.Identity() if op == NONE else operation(op, width, width) for op in ops
            )
            for sources in nodes
            for _ in sources
        )
        self.gives = [op != NONE for op in ops]

    def forward(self, before: Tensor, last: Tensor, weights: Tensor, skip: float) -> Tensor:
        """Maps (b, c, h, w) of those of the two cells before.

        Args:
            before: Of the cell before the last.
            last: Of the last cell.
            weights: Of the operations (edges, ops); one of weight 0 is not run.
            skip: How much of its input each edge adds.
        """
        states = [fit(one) for fit, one in zip(self.fits, (before, last), strict=True)]
        runs = (weights != 0).tolist()
        edge = 0
        for sources in self.nodes:
            total = torch.zeros_like(states[0])
            for source in sources:
                total = total + skip * states[source] if skip else total
                for k, op in enumerate(cast(nn.ModuleList, self.mixed[edge])):
                    if self.gives[k] and runs[edge][k]:
                        total = total + weights[edge, k] * op(states[source])
                edge += 1
            states.append(total)
        return torch.cat(states[2:], 1)


class MixedCells(nn.Module):
    """A stem, mixed cells, and a linear classifier of the mean over places.

    Args:
        num_classes: Classes.
        in_channels: Channels of an image.
        cells: Cells of the network.
        width: Channels of a node, twice as many from each reduction on.
        nodes: Nodes of a cell, each of which may read all before it; or of each node the list of
            what it may read: 0 and 1 the inputs, 2 the first node.
        reduce_at: Cells that halve height and width.
        ops: Operations, of :data:`students.conv_blocks.OPERATIONS`, and ``none``.

    Attributes:
        alphas: By kind of cell, ``normal`` or ``reduce``, (edges, ops).
        edges: By kind, of each edge the node and what it reads.
        ops: The operations by name.
        skip: How much of its input each edge adds beside the mixture.

    Raises:
        ValueError: If a number or an operation is none.

    Example:
        >>> given = dict(cells=2, width=4, nodes=2, reduce_at=[1], ops=["skip", "sep3"])
        >>> cells = MixedCells(10, 1, **given)
        >>> {kind: tuple(alphas.shape) for kind, alphas in cells.alphas.items()}
        {'normal': (5, 2), 'reduce': (5, 2)}
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        cells: int,
        width: int,
        nodes: int | list[list[int]],
        reduce_at: list[int],
        ops: list[str],
    ) -> None:
        super().__init__()
        check_sizes(num_classes, in_channels)
        check_positive("cells", cells)
        check_positive("width", width)
        sources = _sources(nodes)
        self.ops, self.skip = tuple(ops), 0.0
        self._classes, self._channels = num_classes, in_channels
        self._skeleton = {
            "family": "cells",
            "width": width,
            "cells": cells,
            "reduce_at": list(reduce_at),
        }
        self.kinds = ["reduce" if at in reduce_at else "normal" for at in range(cells)]
        of_node = [(node, one) for node, read in enumerate(sources) for one in read]
        kinds = sorted(set(self.kinds))
        self.edges: dict[str, list[tuple[int, int]]] = dict.fromkeys(kinds, of_node)
        start = {kind: 1e-3 * torch.randn(len(of_node), len(ops)) for kind in kinds}
        self.alphas = nn.ParameterDict(start)
        self.stem = nn.Sequential(unit(in_channels, width, 3), nn.ReLU())
        given, halvings = [(width, 0), (width, 0)], 0
        self.cells = nn.ModuleList()
        for kind in self.kinds:
            if kind == "reduce":
                width, halvings = 2 * width, halvings + 1
            self.cells.append(MixedCell(given, width, halvings, sources, ops))
            given = [given[1], (width * len(sources), halvings)]
        self.fc = nn.Linear(given[1][0], num_classes)
        self._mixture: Mixture | None = None
        without_affine(self)

    @contextmanager
    def mixed(self, mixture: Mixture) -> Iterator[None]:
        """Weigh operations otherwise than by the softmax of the alphas.

        Args:
            mixture: By kind (edges, ops); an operation of weight 0 is not run.
        """
        try:
            self._mixture = mixture
            yield
        finally:
            self._mixture = None

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        mixture = self._mixture
        if mixture is None:
            mixture = {kind: alphas.softmax(1) for kind, alphas in self.alphas.items()}
        before = last = self.stem(image)
        for kind, cell in zip(self.kinds, self.cells, strict=True):
            before, last = last, cell(before, last, mixture[kind], self.skip)
        logits: Tensor = self.fc(last.mean((2, 3)))
        return logits

    def costs(self, image: tuple[int, ...]) -> dict[str, tuple[float, dict[str, Tensor]]]:
        """What networks cost whose edges have an operation each, ``parameters`` and ``flops``.

        Args:
            image: Shape (c, h, w) of an image.

        Returns:
            By cost that of a network without operations, and by kind those of an operation (ops,)
            on one edge of all cells of the kind.
        """
        empty: dict[str, Any] = {
            kind: [[] for _ in cast(Any, self.cells[0]).nodes] for kind in self.edges
        }
        skeleton = {**self._skeleton, **empty}
        found = _cost(lambda: Cells(skeleton, self._classes, self._channels), image)
        of_ops = {name: {kind: torch.zeros(len(self.ops)) for kind in self.edges} for name in found}
        for kind, cell in zip(self.kinds, self.cells, strict=True):
            width, height, breadth = cast(Any, cell).width, *image[1:]
            for _ in range(cast(Any, cell).halvings):
                height, breadth = -(-height // 2), -(-breadth // 2)
            for k, op in enumerate(self.ops):
                if op != NONE:
                    make = partial(operation, op, width, width)
                    for name, cost in _cost(make, (width, height, breadth)).items():
                        of_ops[name][kind][k] += cost
        return {name: (float(cost), of_ops[name]) for name, cost in found.items()}


def _sources(nodes: int | Sources) -> Sources:
    if isinstance(nodes, int):
        check_positive("nodes", nodes)
        return [list(range(node + 2)) for node in range(nodes)]
    for node, read in enumerate(nodes):
        if not read or any(one not in range(node + 2) for one in read):
            raise ValueError(f"nodes.{node} must read some of 0 to {node + 1}, got {read}")
    return nodes


def without_affine(network: nn.Module) -> None:
    """Take scale and shift from batch norms: they would rescale what the mixture weighs."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.affine = False
            norm.register_parameter("weight", None)
            norm.register_parameter("bias", None)


def _cost(make: Callable[[], nn.Module], image: tuple[int, ...]) -> dict[str, int]:
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        network = make().eval()
        network(torch.empty(1, *image))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "flops": int(counter.get_total_flops())}
