"""The space of NAS-Bench-201's cells (Dong and Yang, arXiv 2001.00326) with three nodes.

Node 0 is the cell's input, node 2 its output; each of the three edges between them holds one of
five operations. 125 designs, 85 that differ: an edge that nothing reaches, or that reaches nothing,
is dead, and nine designs give nothing at all.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from students.conv_blocks import operation, unit
from students.spaces.space import Space

EDGES = ("0-1", "0-2", "1-2")
OPS = ("none", "skip", "pool3", "conv1", "conv3")


class EdgeCells(Space):
    """Designs of one operation per edge."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(EDGES, OPS))

    def architecture(self, design: Sequence[int]) -> dict[str, Any]:
        """The operation of each edge, ``none`` where it is dead."""
        first, straight, second = (self.chosen(design)[edge] for edge in EDGES)
        if "none" in (first, second):
            first = second = "none"
        return dict(zip(EDGES, (first, straight, second), strict=True))


class EdgeNet(nn.Module):
    """A stem, two equal cells with a halving of height and width between them, a classifier.

    Args:
        edges: The operation of each edge.
        width: Channels.
        num_classes: Classes.
        in_channels: Channels of an image.
    """

    def __init__(
        self, edges: dict[str, str], width: int = 8, num_classes: int = 10, in_channels: int = 1
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(unit(in_channels, width, 3), nn.ReLU())
        self.first = EdgeCell(edges, width)
        self.halve = nn.AvgPool2d(2)
        self.second = EdgeCell(edges, width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.second(self.halve(self.first(self.stem(image))))
        logits: Tensor = self.fc(maps.mean((2, 3)))
        return logits


class EdgeCell(nn.Module):
    """Three nodes; keeps the shape (b, c, h, w).

    Args:
        edges: The operation of each edge.
        width: Channels.
    """

    def __init__(self, edges: dict[str, str], width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {edge: _operation(op, width) for edge, op in edges.items() if op != "none"}
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) of the last node."""
        middle = self._of("0-1", maps)
        return self._of("0-2", maps) + self._of("1-2", middle)

    def _of(self, edge: str, maps: Tensor) -> Tensor:
        return self.edges[edge](maps) if edge in self.edges else torch.zeros_like(maps)


def _operation(name: str, width: int) -> nn.Module:
    if name == "conv1":
        return nn.Sequential(unit(width, width, 1), nn.ReLU())
    return operation(name, width, width)
