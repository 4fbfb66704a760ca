"""All cells of the table in one network that shares their weights."""

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from experiments.digits_cells.cells import EDGES, OPS, EdgeCell, EdgeCells, EdgeNet


class SharedCell(nn.Module):
    """An ``EdgeCell`` with all operations on each edge, of which one is used.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edges = dict.fromkeys(EDGES, "conv3")
        self.each = nn.ModuleDict({op: EdgeCell(dict.fromkeys(EDGES, op), width) for op in OPS})

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) of the last node."""
        middle = self._of("0-1", maps)
        return self._of("0-2", maps) + self._of("1-2", middle)

    def extract(self) -> EdgeCell:
        """The chosen cell on its own, with its weights."""
        cell = EdgeCell(self.edges, 1)
        for edge in cell.edges:
            cell.edges[edge] = copy.deepcopy(self._cell(edge).edges[edge])
        return cell

    def _of(self, edge: str, maps: Tensor) -> Tensor:
        return self._cell(edge)._of(edge, maps)

    def _cell(self, edge: str) -> EdgeCell:
        return cast(EdgeCell, self.each[self.edges[edge]])


class SharedEdges(nn.Module):
    """All ``EdgeNet`` of a width in one; both cells have the chosen operations.

    Args:
        width: Channels.
        num_classes: Classes.
        in_channels: Channels of an image.

    Attributes:
        space: The designs.
        dimensions: What each decision changes.
    """

    def __init__(self, width: int = 8, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.space, self.dimensions = EdgeCells(), dict.fromkeys(EDGES, "operation")
        self._arguments = (width, num_classes, in_channels)
        body = EdgeNet(dict.fromkeys(EDGES, "none"), *self._arguments)
        self.stem, self.fc = body.stem, body.fc
        self.first = SharedCell(width)
        self.second = nn.Sequential(body.halve, SharedCell(width))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = self.second(self.first(self.stem(image)))
        logits: Tensor = self.fc(maps.mean((2, 3)))
        return logits

    def choose(self, architecture: Mapping[str, Any]) -> None:
        """Use the operations of a design."""
        for cell in (self.first, cast(SharedCell, self.second[1])):
            cell.edges = dict(architecture)

    def extract(self) -> nn.Module:
        """The chosen network on its own, with its weights."""
        network = EdgeNet(dict.fromkeys(EDGES, "none"), *self._arguments)
        network.stem, network.fc = copy.deepcopy(self.stem), copy.deepcopy(self.fc)
        network.first = self.first.extract()
        network.second = cast(SharedCell, self.second[1]).extract()
        return network.train(self.training)

    @torch.no_grad()
    def sort_channels(self) -> None:
        """Nothing: all designs use all channels."""
