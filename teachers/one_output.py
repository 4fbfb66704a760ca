"""A teacher that returns more than a tensor of logits."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


class OneOutput(nn.Module):
    """Takes one output of a network that returns several, or an object.

    Its layers are tapped as ``teacher@network.PATH``. It carries the network's
    ``input_normalization``, if there is one.

    Args:
        teacher: Returns a tensor, an object or a mapping with tensors by name, or a sequence.
        output: The name of the attribute or key, or the place in the sequence. None takes a tensor
            as it is, and ``logits`` of anything else, as models of the library transformers have.

    Example:
        >>> import torch
        >>> class Pair(nn.Module):
        ...     def forward(self, image):
        ...         return {"logits": image.mean((2, 3)), "maps": image}
        >>> OneOutput(Pair())(torch.zeros(2, 5, 4, 4)).shape
        torch.Size([2, 5])
        >>> OneOutput(Pair(), output="maps")(torch.zeros(2, 5, 4, 4)).shape
        torch.Size([2, 5, 4, 4])
    """

    def __init__(self, teacher: nn.Module, output: str | int | None = None) -> None:
        super().__init__()
        self.network, self.output = teacher, output
        carried = getattr(teacher, "input_normalization", None)
        if carried is not None:
            self.input_normalization = carried

    def forward(self, image: Tensor) -> Tensor:
        """The selected output for images (b, c, h, w).

        Raises:
            ValueError: If the output is missing or no tensor, naming the outputs that there are.
        """
        given = self.network(image)
        if self.output is None and isinstance(given, Tensor):
            return given
        name = "logits" if self.output is None else self.output
        found = _part(given, name)
        if not isinstance(found, Tensor):
            message = f"output {name!r} of {type(self.network).__name__} is {_kind(found)}"
            raise ValueError(f"{message}, not a tensor; the network returns {_contents(given)}")
        return found


def _part(given: Any, name: str | int) -> object:  # noqa: ANN401 - whatever a network gives
    if isinstance(name, int):
        inside = isinstance(given, Sequence) and -len(given) <= name < len(given)
        return given[name] if inside else None
    if isinstance(given, Mapping) and name in given:
        return given[name]
    return None if isinstance(given, Tensor) else getattr(given, name, None)


def _contents(given: object) -> str:
    if isinstance(given, Mapping):
        return ", ".join(f"{name!r}: {_kind(value)}" for name, value in given.items())
    if isinstance(given, Sequence) and not isinstance(given, str):
        return ", ".join(f"{place}: {_kind(value)}" for place, value in enumerate(given))
    return _kind(given)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
