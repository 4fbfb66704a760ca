"""The space of chain-structured networks: per stage an operation, width, depth and kernel."""

from collections.abc import Mapping, Sequence
from typing import Any

from students.chain import LAYER
from students.spaces.space import Space


class Chain(Space):
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
        values: dict[str, Any] = {"stem": stem}
        for index, stage in enumerate(stages):
            if stage.keys() != LAYER:
                raise ValueError(f"stages.{index} needs {', '.join(sorted(LAYER))} and no others")
            values |= {f"stages.{index}.{name}": value for name, value in stage.items()}
        super().__init__(values)
        self._stages, self._given = len(stages), {"stem": stem, "stages": stages}

    def supernet(self) -> dict[str, Any]:
        """The network that holds those of all designs, as in a recipe but for its heads."""
        return {"class_path": "students.elastic_chain", "init_args": dict(self._given)}

    def architecture(self, design: Sequence[int]) -> dict[str, Any]:
        """The mapping of a design, without what has no effect: equal networks have equal ones.

        Raises:
            ValueError: If the design is none of this space.
        """
        chosen = self.chosen(design)
        stages = []
        for index in range(self._stages):
            stage = {name: chosen[f"stages.{index}.{name}"] for name in sorted(LAYER)}
            if stage["op"] == "conv":
                del stage["expand"]
            stages.append(stage)
        return {"family": "chain", "stem": chosen["stem"], "stages": stages}
