"""Designs and the recipe's parameters in one vector: both are searched together."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from distill.bench.sweep.space import Parameter

LEVELS = 16
"""Values of a parameter that has a range: the middles of as many equally likely parts of it."""


class Space(Protocol):
    """Designs of networks, such as a Chain of ``students``; a design has an index per decision.

    Attributes:
        decisions: Values by name, in the order of a design.
    """

    decisions: Mapping[str, Sequence[Any]]

    def architecture(self, design: Sequence[int]) -> dict[str, Any]:
        """The mapping that ``students.from_architecture`` takes."""

    def key(self, design: Sequence[int]) -> str:
        """One line that two designs share if their networks are equal."""

    def costs(
        self, design: Sequence[int], num_classes: int, image: tuple[int, int, int]
    ) -> dict[str, int]:
        """``parameters`` and ``flops`` of a design for images (c, h, w)."""


class Joint:
    """A space whose decisions are followed by parameters of the recipe.

    Args:
        designs: The space of designs.
        parameters: What else is searched, by dotted key.

    Attributes:
        decisions: Values by name: those of the space, then of each parameter.
    """

    def __init__(self, designs: Space, parameters: Mapping[str, Parameter]) -> None:
        self.designs, self._names = designs, list(parameters)
        values = {name: _values(parameter) for name, parameter in parameters.items()}
        self.decisions: dict[str, Sequence[Any]] = {**designs.decisions, **values}
        self._keys: dict[tuple[int, ...], str] = {}

    def key(self, design: Sequence[int]) -> str:
        """One line that two designs share if networks and parameters are equal."""
        return self.network_key(design) + json.dumps(self.parameters(design))

    def network_key(self, design: Sequence[int]) -> str:
        """One line that two designs share if their networks are equal."""
        network = self.network(design)
        if network not in self._keys:
            self._keys[network] = self.designs.key(network)
        return self._keys[network]

    def network(self, design: Sequence[int]) -> tuple[int, ...]:
        """The part of a design that its network follows from."""
        return tuple(design[: len(design) - len(self._names)])

    def parameters(self, design: Sequence[int]) -> dict[str, Any]:
        """The values of the parameters."""
        places = design[len(design) - len(self._names) :]
        pairs = zip(self._names, places, strict=True)
        return {name: self.decisions[name][place] for name, place in pairs}

    def chosen(self, design: Sequence[int]) -> dict[str, Any]:
        """The values of all decisions."""
        pairs = zip(self.decisions.items(), design, strict=True)
        return {name: values[place] for (name, values), place in pairs}


def _values(parameter: Parameter) -> Sequence[Any]:
    if parameter.values is not None and len(parameter.values) <= LEVELS:
        return list(parameter.values)
    if parameter.quantile is None:
        return list(parameter.values or ())
    found = [parameter.quantile((level + 0.5) / LEVELS) for level in range(LEVELS)]
    rounded = [float(f"{v:.6g}") if isinstance(v, float) else v for v in found]
    return list(dict.fromkeys(rounded))
