"""Batch norms that normalise by the batch and leave their running statistics alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Keep a network's running statistics as they are, in training mode too.

    Example:
        >>> import torch
        >>> norm = nn.BatchNorm1d(1)
        >>> with statistics_kept(norm):
        ...     _ = norm(torch.tensor([[1.0], [3.0]]))
        >>> norm.running_mean
        tensor([0.])
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
