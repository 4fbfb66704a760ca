"""What a network gives: one tensor, or several by name."""

from collections.abc import Mapping

from torch import Tensor

Outputs = Tensor | Mapping[str, Tensor]
LOGITS = "logits"


def by_name(outputs: Outputs) -> dict[str, Tensor]:
    """The tensors of a network's output by name; one alone is its ``logits``, a tuple is counted.

    Raises:
        ValueError: If it is something else, with its type.

    Example:
        >>> import torch
        >>> list(by_name(torch.zeros(2, 3)))
        ['logits']
    """
    if isinstance(outputs, Tensor):
        return {LOGITS: outputs}
    if isinstance(outputs, Mapping):
        found = {str(name): value for name, value in outputs.items()}
    elif isinstance(outputs, (list, tuple)):
        found = {str(place): value for place, value in enumerate(outputs)}
    else:
        raise ValueError(f"gives a {type(outputs).__name__}, not a tensor or tensors by name")
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"gives {type(outputs).__name__} with a {type(value).__name__} {name}")
    return found


def logits_of(outputs: Outputs) -> Tensor:
    """The logits of a network's output.

    Raises:
        ValueError: If it has none, with the names that it has.
    """
    found = by_name(outputs)
    if LOGITS not in found:
        kind, names = type(outputs).__name__, ", ".join(found)
        raise ValueError(f"needs one tensor of logits, gives a {kind} with {names or 'nothing'}")
    return found[LOGITS]
