"""The space of cells: the skeleton is fixed, a normal and a reduction cell are searched."""

from collections.abc import Mapping, Sequence
from typing import Any

from students.mixed_cells import NONE
from students.spaces.space import Design, Space


class Cells(Space):
    """Designs of cells whose nodes each add two operations on what came before them.

    ``none`` is no operation, nor is one on a node without any; the order of a node's two does not
    matter, and a cell that the skeleton lacks says nothing.

    Args:
        cells: Cells of the network.
        width: Channels of a node, twice as many from each reduction on.
        nodes: Nodes of a cell.
        reduce_at: Cells that halve height and width.
        ops: Operations, of :data:`students.conv_blocks.OPERATIONS`, and ``none``.

    Raises:
        ValueError: If an operation is there twice or none is.

    Example:
        >>> space = Cells(cells=1, width=8, nodes=1, reduce_at=[], ops=["none", "skip", "conv3"])
        >>> list(space.decisions)
        ['normal.0.input0', 'normal.0.op0', 'normal.0.input1', 'normal.0.op1']
        >>> len(list(space.designs())), len(set(map(space.key, space.designs())))
        (36, 15)
    """

    def __init__(
        self, cells: int, width: int, nodes: int, reduce_at: Sequence[int], ops: Sequence[str]
    ) -> None:
        at = sorted({index for index in reduce_at if 0 <= index < cells})
        self._kinds = [kind for kind, there in _there(cells, at).items() if there]
        self._skeleton = {"width": width, "cells": cells, "reduce_at": at}
        self._nodes, self._ops = nodes, list(ops)
        values: dict[str, Any] = {}
        for kind in self._kinds:
            for node in range(nodes):
                for side in range(2):
                    values[f"{kind}.{node}.input{side}"] = list(range(node + 2))
                    values[f"{kind}.{node}.op{side}"] = ops
        super().__init__(values)

    def architecture(self, design: Sequence[int]) -> dict[str, Any]:
        """As :class:`students.spaces.space.Space` says."""
        chosen = self.chosen(design)
        found: dict[str, Any] = {"family": "cells", **self._skeleton}
        for kind in self._kinds:
            nodes: list[list[list[Any]]] = []
            for node in range(self._nodes):
                names = [f"{kind}.{node}" for _ in range(2)]
                pairs = [
                    [chosen[f"{name}.input{side}"], chosen[f"{name}.op{side}"]]
                    for side, name in enumerate(names)
                ]
                alive = [
                    [source, op]
                    for source, op in pairs
                    if op != NONE and (source < 2 or nodes[source - 2])
                ]
                nodes.append(sorted(alive))
            found[kind] = nodes
        return found

    def design(self, cells: Mapping[str, Sequence[Sequence[tuple[int, str]]]]) -> Design:
        """The design of cells.

        Args:
            cells: By kind, of each node the two states that it reads, with an operation each.
        """
        values: dict[str, Any] = {}
        for kind in self._kinds:
            for node, given in enumerate(cells[kind]):
                for side, (source, op) in enumerate(given):
                    values[f"{kind}.{node}.input{side}"] = source
                    values[f"{kind}.{node}.op{side}"] = op
        return tuple(all_.index(values[name]) for name, all_ in self.decisions.items())

    def supernet(self) -> dict[str, Any]:
        """The network that mixes all designs, but for its numbers of classes and channels."""
        arguments = {**self._skeleton, "nodes": self._nodes, "ops": self._ops}
        return {"class_path": "students.MixedCells", "init_args": arguments}


def _there(cells: int, reduce_at: Sequence[int]) -> dict[str, bool]:
    return {"normal": cells > len(reduce_at), "reduce": bool(reduce_at)}
