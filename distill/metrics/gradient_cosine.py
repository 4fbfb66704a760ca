"""Cosines between the gradients of an objective's terms."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def gradient_cosines(
    values: Mapping[str, Tensor], task: str, parameters: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Compute the cosine between the gradient of one value and that of every other.

    1: the same direction; 0: no common direction; -1: opposite directions. Weights of terms do not
    change it.

    Args:
        values: Scalars by name; their graph is kept.
        task: Name of the value that the others are compared with.
        parameters: Tensors that the values may depend on.

    Returns:
        A cosine per other name; 0 where a value depends on none of the parameters.

    Raises:
        ValueError: If ``task`` is not one of the values.

    Example:
        >>> weight = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> values = {"task": weight[0], "same": 3 * weight[0], "other": weight[1]}
        >>> gradient_cosines(values, "task", [weight])
        {'same': tensor(1.), 'other': tensor(0.)}
    """
    if task not in values:
        raise ValueError(f"task must be one of {', '.join(values)}, got {task!r}")
    gradients = {name: _gradient(value, parameters) for name, value in values.items()}
    own = gradients.pop(task)
    return {
        name: torch.nn.functional.cosine_similarity(own, gradient, dim=0)
        for name, gradient in gradients.items()
    }


def _gradient(value: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Concatenate all gradients in one vector, at least float32."""
    found: Sequence[Tensor | None] = [None] * len(parameters)
    if value.requires_grad:
        found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    parts = [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    ]
    return torch.cat([part.flatten().to(_at_least_float32(part)) for part in parts])


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
