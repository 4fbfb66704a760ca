"""The batch of all processes as one, for losses that compare samples with each other."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


def gathered(tensor: Tensor) -> Tensor:
    """The rows of all processes, one process after the other; alone, the tensor itself.

    Gradients flow to the rows of every process. So where each computes the same loss of them and
    gradients are averaged over processes, as in DDP, they come out as in one process.

    Args:
        tensor: (b, ...), of one shape in all processes.

    Returns:
        (processes * b, ...).
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    rows: Tensor = _Gather.apply(tensor)
    return rows


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a number over all processes, without a gradient; alone, the number itself."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ANN401 - torch's signature
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        whole = gradient.contiguous().clone()
        dist.all_reduce(whole)
        return whole.chunk(dist.get_world_size())[dist.get_rank()]
