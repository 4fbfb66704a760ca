"""Networks of equal cells (Zoph et al., arXiv 1707.07012), each a small graph of operations.

As in DARTS (Liu et al., arXiv 1806.09055) a cell reads the two before it, a node adds what its
operations give, and the cell's output is all its nodes side by side. Other than there, the inputs
of a reduction cell are halved before its operations. Paths to tap: ``stem``, ``cells.0``, ...; the
embedding (b, c) is ``fc:input``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from students.checks import check_keys, check_positive, check_sizes
from students.conv_blocks import Fit, operation, unit

Nodes = Sequence[Sequence[tuple[int, str]]]


class Cell(nn.Module):
    """A graph of nodes; a node without an operation is zero.

    Args:
        given: Channels and halvings of its two inputs.
        width: Channels of each node.
        halvings: Of its nodes.
        nodes: Of each node its operations: what they read (0 and 1 the inputs, 2 the first node)
            and their name.
    """

    def __init__(
        self, given: Sequence[tuple[int, int]], width: int, halvings: int, nodes: Nodes
    ) -> None:
        super().__init__()
        self.fits = nn.ModuleList(Fit(before, width, halvings - at) for before, at in given)
        self.reads = [[source for source, _ in node] for node in nodes]
        self.nodes = nn.ModuleList(
            nn.ModuleList(operation(name, width, width) for _, name in node) for node in nodes
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Maps (b, c, h, w) of the outputs of the two cells before."""
        states = [fit(one) for fit, one in zip(self.fits, (before, last), strict=True)]
        for node, reads in zip(self.nodes, self.reads, strict=True):
            parts = [
                op(states[source])
                for op, source in zip(cast(nn.ModuleList, node), reads, strict=True)
            ]
            states.append(torch.stack(parts).sum(0) if parts else torch.zeros_like(states[0]))
        return torch.cat(states[2:], 1)


class Cells(nn.Module):
    """A stem, cells, and a linear classifier of the mean over places.

    Args:
        architecture: As :func:`students.from_architecture` takes it.
        num_classes: Classes.
        in_channels: Channels of an image.

    Raises:
        ValueError: If a key or a value is not of such a network; the message names it.
    """

    def __init__(self, architecture: Mapping[str, Any], num_classes: int, in_channels: int) -> None:
        super().__init__()
        check_sizes(num_classes, in_channels)
        _check(architecture)
        width, halvings = architecture["width"], 0
        self.stem = nn.Sequential(unit(in_channels, width, 3), nn.ReLU())
        given = [(width, 0), (width, 0)]
        self.cells = nn.ModuleList()
        for index in range(architecture["cells"]):
            reduces = index in architecture["reduce_at"]
            nodes = architecture["reduce" if reduces else "normal"]
            if reduces:
                width, halvings = 2 * width, halvings + 1
            self.cells.append(Cell(given, width, halvings, nodes))
            given = [given[1], (width * len(nodes), halvings)]
        self.fc = nn.Linear(given[1][0], num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        before = last = self.stem(image)
        for cell in self.cells:
            before, last = last, cell(before, last)
        logits: Tensor = self.fc(last.mean((2, 3)))
        return logits


def _check(architecture: Mapping[str, Any]) -> None:
    kinds = {"normal", "reduce"}
    check_keys(
        "architecture", architecture, kinds | {"family", "width", "cells", "reduce_at"}, kinds
    )
    check_positive("architecture.width", architecture["width"])
    check_positive("architecture.cells", architecture["cells"])
    reduces = [index in architecture["reduce_at"] for index in range(architecture["cells"])]
    for kind, needed in (("normal", not all(reduces)), ("reduce", any(reduces))):
        if needed and not architecture.get(kind):
            raise ValueError(f"architecture.{kind} needs at least one node")
        for index, node in enumerate(architecture.get(kind, ())):
            sources = [source for source, _ in node]
            if any(source not in range(index + 2) for source in sources):
                place = f"architecture.{kind}.{index}"
                raise ValueError(f"{place} must read 0 to {index + 1}, got {sources}")
