"""What a network gives: one tensor, or several by name."""

from collections.abc import Mapping

from torch import Tensor

Outputs = Tensor | Mapping[str, Tensor]
LOGITS, EMBEDDING = "logits", "embedding"


def by_name(outputs: Outputs, alone: str = LOGITS) -> dict[str, Tensor]:
    """The tensors of a network's output by name; a tuple is counted.

    Args:
        outputs: What the network gave.
        alone: The name of one tensor that is all.

    A named tuple, as networks with auxiliary heads give in training, has names of its own.

    Raises:
        ValueError: If it is something else, with its type.

    Example:
        >>> import torch
        >>> list(by_name(torch.zeros(2, 3)))
        ['logits']
    """
    if isinstance(outputs, Tensor):
        return {alone: outputs}
    if isinstance(outputs, Mapping):
        found = {str(name): value for name, value in outputs.items()}
    elif isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        pairs = zip(outputs._fields, outputs, strict=True)
        found = {name: value for name, value in pairs if value is not None}
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
    return _named(outputs, LOGITS, "one tensor of logits")


def embedding_of(outputs: Outputs) -> Tensor:
    """The embedding in a network's output; one tensor alone is it.

    Raises:
        ValueError: If it has none, with the names that it has.
    """
    return _named(outputs, EMBEDDING, "an embedding")


def _named(outputs: Outputs, name: str, needed: str) -> Tensor:
    found = by_name(outputs, name)
    if name not in found:
        kind, names = type(outputs).__name__, ", ".join(found)
        raise ValueError(f"needs {needed}, gives a {kind} with {names or 'nothing'}")
    return found[name]
