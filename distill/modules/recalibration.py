"""Running statistics of batch norms, measured anew."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Set the running statistics of all batch norms to their means over batches.

    A part that was cut out of a network has those of another one. Batch norms are in training mode
    meanwhile, everything else, such as dropout, in evaluation mode; weights stay as they are.

    Args:
        network: Whose batch norms they are; left in evaluation mode.
        images: Batches as the network takes them, of training images without augmentation.

    Example:
        >>> norm = nn.BatchNorm1d(1)
        >>> recalibrate(norm, [torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [6.0]])])
        >>> norm.running_mean, norm.running_var
        (tensor([3.]), tensor([5.]))
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    for image in images:
        network(image)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
