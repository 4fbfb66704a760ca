"""Neuron selectivity transfer: Huang and Wang, 2017, arXiv 1707.01219.

The channels of an image are samples of where the network looks; the two sets of samples are
compared by the squared maximum mean discrepancy with the kernel (x . y)^2. With this kernel it is
the squared distance of the mean outer products, so no (b, c, c, h w) tensor is needed.
"""

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, maps
from distill.losses.kernels import l2_normalize


def nst_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared MMD between the channels' directions, flattened over h w (eq. 4 to 6).

    Invariant to the order of channels and to a positive scale of each. A zero does not mean equal
    maps. The literature weighs it 50.

    Args:
        student: Maps (b, c, h, w).
        teacher: Maps (b, c', h, w); no gradient flows to them.

    Returns:
        The mean over the batch; at least 0. A channel of zeros has no direction and counts as 0.

    Raises:
        ValueError: If the maps differ in batch or size, are not (b, c, h, w) or are empty.

    Example:
        >>> one, other = torch.eye(2).view(1, 2, 1, 2), torch.ones(1, 2, 1, 2)
        >>> nst_loss(one, other), nst_loss(one, one.flip(1))
        (tensor(0.5000), tensor(0.))
    """
    maps(student, teacher)
    s, t = (
        l2_normalize(at_least_float32(student).flatten(2)),
        l2_normalize(at_least_float32(teacher.detach()).flatten(2)),
    )
    pixels, channels = s.shape[2], min(s.shape[1], t.shape[1])
    with torch.autocast(s.device.type, enabled=False):
        if pixels <= channels:
            gap = _outer(s) - _outer(t)
            return gap.square().sum((1, 2)).mean()
        return (_kernel(s, s) + _kernel(t, t) - 2 * _kernel(s, t)).mean()


class NSTLoss(nn.Module):
    """Module form of :func:`nst_loss`, for recipes.

    Example:
        >>> maps = torch.rand(2, 16, 8, 8)
        >>> f"{NSTLoss()(maps, maps.flip(1)).abs():.4f}"  # the order of channels does not matter
        '0.0000'
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`nst_loss`."""
        return nst_loss(student, teacher)


def _outer(directions: Tensor) -> Tensor:
    """Mean over channels of the outer products (b, h w, h w)."""
    return directions.transpose(1, 2) @ directions / directions.shape[1]


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    """Mean over pairs of channels of the squared inner products (b,)."""
    return (one @ other.transpose(1, 2)).square().mean((1, 2))
