"""Norms of each term's gradient at one place of the student."""

from collections.abc import Mapping

import torch
from torch import Tensor


def gradient_norms(values: Mapping[str, Tensor], place: Tensor) -> dict[str, Tensor]:
    """L2 norm of each value's gradient with respect to a tensor that they may depend on.

    Args:
        values: Scalars by name; their graph is kept.
        place: Any tensor of that graph.

    Returns:
        A norm per name; 0 where a value does not depend on the tensor.

    Example:
        >>> place = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> gradient_norms({"sum": 3 * place.sum(), "first": place[0]}, place)
        {'sum': tensor(4.2426), 'first': tensor(1.)}
    """
    norms = {}
    for name, value in values.items():
        gradient = None
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, place, retain_graph=True, allow_unused=True)
        norms[name] = place.new_zeros(()) if gradient is None else gradient.float().norm()
    return norms
