"""What all spaces share: decisions by name, designs of one index each, keys and exact costs."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from students.from_architecture import from_architecture

Design = tuple[int, ...]


class Space(ABC):
    """Designs. A design has one index per decision, into that decision's values.

    Args:
        values: Of each name what it may be; one value alone is no decision.

    Attributes:
        decisions: Values by name, in the order of a design.

    Raises:
        ValueError: If a name has no value or one twice.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        known = {name: _values(name, given) for name, given in values.items()}
        self._fixed = {name: all_[0] for name, all_ in known.items() if len(all_) == 1}
        self.decisions = {name: all_ for name, all_ in known.items() if len(all_) > 1}

    @abstractmethod
    def architecture(self, design: Sequence[int]) -> dict[str, Any]:
        """The mapping of a design, without what has no effect: equal networks have equal ones.

        Raises:
            ValueError: If the design is none of this space.
        """

    def chosen(self, design: Sequence[int]) -> dict[str, Any]:
        """Values by name, also of what is no decision.

        Raises:
            ValueError: If the design is none of this space.
        """
        sizes = [len(values) for values in self.decisions.values()]
        fits = len(design) == len(sizes)
        if not fits or any(not 0 <= i < n for i, n in zip(design, sizes, strict=True)):
            raise ValueError(f"a design has {len(sizes)} indices below {sizes}, got {list(design)}")
        return {
            name: values[index]
            for (name, values), index in zip(self.decisions.items(), design, strict=True)
        } | self._fixed

    def key(self, design: Sequence[int]) -> str:
        """One line that two designs share when their networks are equal."""
        return json.dumps(self.architecture(design), sort_keys=True)

    def designs(self) -> Iterator[Design]:
        """All designs in order; there may be very many."""
        return product(*(range(len(values)) for values in self.decisions.values()))

    def neighbours(self, design: Sequence[int]) -> list[Design]:
        """The designs with one decision changed whose networks differ from this one's."""
        found = [
            (*design[:place], index, *design[place + 1 :])
            for place, values in enumerate(self.decisions.values())
            for index in range(len(values))
            if index != design[place]
        ]
        return [each for each in found if self.key(each) != self.key(design)]

    def costs(
        self, design: Sequence[int], num_classes: int, image: tuple[int, int, int]
    ) -> dict[str, int]:
        """Exact ``parameters`` and ``flops`` (two per multiply-add), without making weights.

        Args:
            design: The design.
            num_classes: Classes.
            image: Shape (c, h, w) of an image.
        """
        flops: list[int] = []

        def add(layer: nn.Module, given: object, output: Tensor) -> None:
            weight: Any = layer.weight
            flops.append(2 * output.numel() * weight[0].numel())

        with torch.device("meta"), torch.no_grad():
            network = from_architecture(self.architecture(design), num_classes, image[0]).eval()
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.register_forward_hook(add)
                elif isinstance(layer, nn.BatchNorm2d | nn.ReLU):
                    # Without weights they take longer than all else, and change no shape.
                    layer.forward = _same  # type: ignore[assignment, method-assign]
            network(torch.empty(1, *image))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return {"parameters": parameters, "flops": sum(flops)}


def _same(maps: Tensor) -> Tensor:
    return maps


def _values(name: str, given: object) -> tuple[Any, ...]:
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name} needs values that differ, got {given!r}")
    return values
