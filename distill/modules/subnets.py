"""Which parts of an elastic network a step trains."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import nn

from distill.core.randomness import fold, uniform

Architecture = Mapping[str, Any]
Dimension = Literal["kernel", "depth", "expand", "width"]


class Space(Protocol):
    """Architectures by design; a design has an index into the values of each decision.

    Attributes:
        decisions: Values by name, in the order of a design.
    """

    decisions: Mapping[str, Sequence[Any]]

    def architecture(self, design: Sequence[int]) -> Architecture:
        """The architecture of a design."""

    def key(self, design: Sequence[int]) -> str:
        """One line that two designs share if their networks are equal."""


@runtime_checkable
class Elastic(Protocol):
    """A network that holds all those of a space, such as ``students.elastic_chain``.

    Attributes:
        space: The networks.
        dimensions: What each decision of the space changes.
    """

    space: Space
    dimensions: Mapping[str, str]

    def choose(self, architecture: Architecture) -> None:
        """Use the part that an architecture describes."""

    def extract(self) -> nn.Module:
        """The part in use on its own, with its weights."""

    def sort_channels(self) -> None:
        """Put first the channels that matter most."""


@dataclass(frozen=True)
class Subnets:
    """How many parts of an elastic network a step trains.

    Attributes:
        largest: Whether the largest is among them.
        smallest: Whether the smallest is.
        random: How many others, drawn anew in each step.

    Raises:
        ValueError: If there are none.
    """

    largest: bool = True
    smallest: bool = True
    random: int = 2

    def __post_init__(self) -> None:
        if self.random < 0 or not (self.largest or self.smallest or self.random):
            raise ValueError(f"subnets must leave some to train, got {self}")


class Sandwich:
    """The parts of a network that each step trains: a function of seed and step.

    Args:
        network: Whose parts they are.
        subnets: How many.
        elastic: The dimensions in which they differ from the largest; None: all.

    Attributes:
        largest: The largest part.
        smallest: The smallest part.

    Raises:
        ValueError: If the network is not elastic.
    """

    def __init__(
        self, network: nn.Module, subnets: Subnets, elastic: Collection[Dimension] | None
    ) -> None:
        if not isinstance(network, Elastic):
            told = f"such as students.elastic_chain, got {type(network).__name__}"
            raise ValueError(f"student must be elastic, {told}")
        self._space, self._subnets = network.space, subnets
        most, least, self._values = list[int](), list[int](), list[list[int]]()
        for name, values in network.space.decisions.items():
            ordered = sorted(range(len(values)), key=values.__getitem__)
            varies = elastic is None or network.dimensions[name] in elastic
            self._values.append(ordered if varies else ordered[-1:])
            least.append(self._values[-1][0])
            most.append(ordered[-1])
        self._most, self._least = most, least
        self.largest, self.smallest = map(network.space.architecture, (most, least))

    def of_step(self, seed: int, step: int) -> list[Architecture]:
        """The parts of a step, none twice; the largest is first.

        Args:
            seed: Of the run.
            step: Its batch.
        """
        designs = [self._most] if self._subnets.largest else []
        designs += [self._least] if self._subnets.smallest else []
        for number in range(self._subnets.random):
            draws = uniform(fold(seed, "subnet", step, number), torch.arange(len(self._values)))
            pairs = zip(draws.squeeze(1).tolist(), self._values, strict=True)
            designs.append([values[int(draw * len(values))] for draw, values in pairs])
        by_key = {self._space.key(design): design for design in reversed(designs)}
        return [self._space.architecture(design) for design in reversed(by_key.values())]
