"""The supernet of the cells of ``experiments/digits_cells``: three edges, five operations each."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from experiments.digits_cells.cells import EDGES, OPS, EdgeCell, EdgeNet
from students.mixed_cells import without_affine

KIND = "normal"


class MixedEdgeCell(nn.Module):
    """An ``EdgeCell`` whose edges mix all operations.

    Args:
        width: Channels.
        ops: Names of the operations.
    """

    def __init__(self, width: int, ops: Sequence[str]) -> None:
        super().__init__()
        self.each = nn.ModuleList(EdgeCell(dict.fromkeys(EDGES, op), width) for op in ops)

    def forward(self, maps: Tensor, weights: Tensor, skip: float) -> Tensor:
        """Maps of the last node, with the weights (edges, ops) of the operations."""
        middle = self._mixed(0, maps, weights, skip)
        straight = self._mixed(1, maps, weights, skip)
        return straight + self._mixed(2, middle, weights, skip)

    def _mixed(self, edge: int, maps: Tensor, weights: Tensor, skip: float) -> Tensor:
        total = skip * maps
        for k, cell in enumerate(self.each):
            if EDGES[edge] in cell.edges and weights[edge, k] != 0:
                total = total + weights[edge, k] * cell.edges[EDGES[edge]](maps)
        return total


class MixedEdges(nn.Module):
    """An ``EdgeNet`` of mixed cells, as ``distill.modules.DifferentiableSearch`` takes it.

    Args:
        width: Channels.
        num_classes: Classes.
        in_channels: Channels of an image.
        none: Whether an edge may give nothing.
    """

    def __init__(
        self, width: int = 8, num_classes: int = 10, in_channels: int = 1, none: bool = True
    ) -> None:
        super().__init__()
        self._arguments = (width, num_classes, in_channels)
        self.ops = tuple(op for op in OPS if none or op != "none")
        self.skip = 0.0
        self.edges = {KIND: [(0, 0), (1, 0), (1, 1)]}
        self.alphas = nn.ParameterDict({KIND: 1e-3 * torch.randn(len(EDGES), len(self.ops))})
        self.body = EdgeNet(dict.fromkeys(EDGES, "none"), *self._arguments)
        self.body.first, self.body.second = (MixedEdgeCell(width, self.ops) for _ in range(2))
        self._mixture: Mapping[str, Tensor] | None = None
        without_affine(self)

    @contextmanager
    def mixed(self, mixture: Mapping[str, Tensor]) -> Iterator[None]:
        """Weigh operations otherwise for the time being."""
        try:
            self._mixture = mixture
            yield
        finally:
            self._mixture = None

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        weights = (self._mixture or {KIND: self.alphas[KIND].softmax(1)})[KIND]
        body = self.body
        maps = body.halve(body.first(body.stem(image), weights, self.skip))
        return body.fc(body.second(maps, weights, self.skip).mean((2, 3)))

    def costs(self, image: tuple[int, ...]) -> dict[str, tuple[float, dict[str, Tensor]]]:
        """By cost that of a network without operations, and those of each on an edge."""
        found = [self._cost(op, image) for op in self.ops]
        return {
            name: (fixed, {KIND: torch.tensor([one[name] - fixed for one in found])})
            for name, fixed in self._cost("none", image).items()
        }

    def _cost(self, op: str, image: tuple[int, ...]) -> dict[str, float]:
        """Of the network that has it on the edge between input and output alone."""
        edges, counter = {"0-1": "none", "0-2": op, "1-2": "none"}, FlopCounterMode(display=False)
        with torch.device("meta"), torch.no_grad(), counter:
            network = EdgeNet(edges, *self._arguments).eval()
            network(torch.empty(1, *image))
        parameters = float(sum(parameter.numel() for parameter in network.parameters()))
        return {"parameters": parameters, "flops": float(counter.get_total_flops())}
