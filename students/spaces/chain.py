"""The space of chain-structured networks: per stage an operation, width, depth and kernel."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from students.chain import LAYER
from students.from_architecture import from_architecture

Design = tuple[int, ...]


class Chain:
    """Designs of chains. A design has one index per decision, into that decision's values.

    Args:
        stem: Channels that the first convolution may have.
        stages: Of each stage, the values of ``op``, ``width``, ``depth``, ``kernel``, ``expand``
            and ``stride``; one value alone is no decision.

    Attributes:
        decisions: Values by name, in the order of a design.

    Raises:
        ValueError: If a stage has other keys, or a decision no value or one twice.

    Example:
        >>> stage = dict(op=["conv", "mbconv"], width=[8, 16], depth=1, kernel=3, expand=[2, 4])
        >>> space = Chain(stem=8, stages=[{**stage, "stride": 2}])
        >>> list(space.decisions)
        ['stages.0.op', 'stages.0.width', 'stages.0.expand']
        >>> len(set(map(space.key, space.designs())))  # expand says nothing of a convolution
        6
    """

    def __init__(self, stem: int | Sequence[int], stages: Sequence[Mapping[str, Any]]) -> None:
        values = {"stem": _values("stem", stem)}
        for index, stage in enumerate(stages):
            if stage.keys() != LAYER:
                raise ValueError(f"stages.{index} needs {', '.join(sorted(LAYER))} and no others")
            for name, value in stage.items():
                values[f"stages.{index}.{name}"] = _values(f"stages.{index}.{name}", value)
        self._fixed = {name: all_[0] for name, all_ in values.items() if len(all_) == 1}
        self.decisions = {name: all_ for name, all_ in values.items() if len(all_) > 1}
        self._stages = len(stages)

    def architecture(self, design: Sequence[int]) -> dict[str, Any]:
        """The mapping of a design, without what has no effect: equal networks have equal ones.

        Raises:
            ValueError: If the design is none of this space.
        """
        sizes = [len(values) for values in self.decisions.values()]
        fits = len(design) == len(sizes)
        if not fits or any(not 0 <= i < n for i, n in zip(design, sizes, strict=True)):
            raise ValueError(f"a design has {len(sizes)} indices below {sizes}, got {list(design)}")
        chosen = {
            name: values[index]
            for (name, values), index in zip(self.decisions.items(), design, strict=True)
        } | self._fixed
        stages = []
        for index in range(self._stages):
            stage = {name: chosen[f"stages.{index}.{name}"] for name in sorted(LAYER)}
            if stage["op"] == "conv":
                del stage["expand"]
            stages.append(stage)
        return {"family": "chain", "stem": chosen["stem"], "stages": stages}

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
        counter = FlopCounterMode(display=False)
        with torch.device("meta"), torch.no_grad(), counter:
            network = from_architecture(self.architecture(design), num_classes, image[0]).eval()
            network(torch.empty(1, *image))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return {"parameters": parameters, "flops": int(counter.get_total_flops())}


def _values(name: str, given: object) -> tuple[Any, ...]:
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name} needs values that differ, got {given!r}")
    return values
