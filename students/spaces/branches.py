"""The space of multi-branch networks: per layer an operation, a width, inputs and their merge."""

from collections.abc import Sequence
from typing import Any

from students.spaces.space import Space


class Branches(Space):
    """Designs whose layers each read up to so many earlier ones.

    Layers that the last one does not depend on are dropped, an input that is chosen twice is read
    once, and one input needs no merge.

    Args:
        layers: Layers, at most.
        width: Channels that a layer may have.
        ops: Operations, of :data:`students.conv_blocks.OPERATIONS`.
        inputs: Inputs of a layer, at most.
        merge: ``add`` (inputs of other widths go through a 1x1 convolution), ``concat``, or both.
        halve_at: Layers from which on height and width are halved.
        stem: Channels of the first convolution.

    Raises:
        ValueError: If a decision has no value or one twice.

    Example:
        >>> space = Branches(layers=2, width=8, ops=["conv3", "pool3"], inputs=2, halve_at=[1])
        >>> list(space.decisions)
        ['layers.0.op', 'layers.1.op', 'layers.1.input0', 'layers.1.input1']
        >>> len(list(space.designs())), len(set(map(space.key, space.designs())))
        (24, 10)
    """

    def __init__(
        self,
        layers: int,
        width: int | Sequence[int],
        ops: Sequence[str],
        inputs: int = 2,
        merge: str | Sequence[str] = "add",
        halve_at: Sequence[int] = (),
        stem: int = 16,
    ) -> None:
        values: dict[str, Any] = {}
        for index in range(layers):
            place, earlier = f"layers.{index}", list(range(index + 1))
            values |= {f"{place}.op": ops, f"{place}.width": width, f"{place}.input0": earlier}
            if index:
                for other in range(1, inputs):
                    values[f"{place}.input{other}"] = [None, *earlier]
                values[f"{place}.merge"] = merge
        super().__init__(values)
        self._layers, self._halve_at, self._stem = layers, tuple(halve_at), stem

    def architecture(self, design: Sequence[int]) -> dict[str, Any]:
        """As :class:`students.spaces.space.Space` says."""
        chosen = self.chosen(design)
        layers = [self._layer(chosen, index) for index in range(self._layers)]
        used = {self._layers}
        for number in range(self._layers, 0, -1):
            if number in used:
                used |= set(layers[number - 1]["inputs"])
        kept = sorted(used | {0})
        for layer in layers:
            layer["inputs"] = [kept.index(one) for one in layer["inputs"] if one in used]
        return {
            "family": "branches",
            "stem": self._stem,
            "layers": [layers[number - 1] for number in kept if number],
        }

    def _layer(self, chosen: dict[str, Any], index: int) -> dict[str, Any]:
        place = f"layers.{index}"
        names = [name for name in chosen if name.startswith(f"{place}.input")]
        inputs = sorted({chosen[name] for name in names} - {None})
        layer = {"op": chosen[f"{place}.op"], "width": chosen[f"{place}.width"], "inputs": inputs}
        layer["halvings"] = sum(index >= at for at in self._halve_at)
        return layer | ({"merge": chosen[f"{place}.merge"]} if len(inputs) > 1 else {})
