"""The divergence between two peers' predictions with gradients to both, for joint updates.

The losses of ``distill.losses`` take their teacher as constant, so there ``gradients: joint`` of
:class:`~distill.modules.MutualLearning` has nothing to pass on. Where nothing is to be passed on,
as in the paper (Zhang et al., 2018, arXiv 1706.00384), mutual learning's loss is
``distill.losses.KDLoss`` with temperature 1.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class PeerKL(nn.Module):
    """Kullback-Leibler divergence of a peer's prediction from another's, not detached.

    Example:
        >>> import torch
        >>> peer, other = torch.zeros(1, 2), torch.tensor([[3.0, 1.0]]).log().requires_grad_()
        >>> value = PeerKL()(peer, other)
        >>> f"{value:.4f}", value.requires_grad
        ('0.1308', True)
    """

    def forward(self, peer: Tensor, other: Tensor) -> Tensor:
        """The mean over the batch, and over its steps, of the sum over classes, in nats.

        Args:
            peer: Logits (b, k), or (b, t, k) of t time steps.
            other: Logits of the same shape, of what the logarithms are weighted by.

        Raises:
            ValueError: If the shapes differ or have another rank.
        """
        if peer.shape != other.shape or peer.ndim not in (2, 3):
            shapes = f"{tuple(peer.shape)} and {tuple(other.shape)}"
            form = "(b, k) or (b, t, k)"
            raise ValueError(f"peer and other need logits of one shape {form}, got {shapes}")
        log_peer, log_other = F.log_softmax(peer, dim=-1), F.log_softmax(other, dim=-1)
        return (log_other.exp() * (log_other - log_peer)).sum(-1).mean()
