"""SSLD's symmetric loss: Cui et al., 2021, arXiv 2103.05959 (PaddleClas).

The paper and its documentation call the loss a Jensen-Shannon divergence; the authors' code
computes half the Jeffreys divergence, the mean of the two Kullback-Leibler divergences. Their
published figures come from the code, so ``jeffreys`` is the default here, and ``js`` the true
Jensen-Shannon divergence: two different losses (1.758 and 0.368 for the distributions (.9, .1) and
(.1, .9)).
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, logit_rows

Divergence = Literal["jeffreys", "js"]


def ssld_loss(student: Tensor, teacher: Tensor, divergence: Divergence = "jeffreys") -> Tensor:
    """A symmetric divergence between the two softmax distributions, without temperature.

    Args:
        student: Logits (b, k), or (b, t, k) of t time steps.
        teacher: Logits of the same shape; no gradient flows to them.
        divergence: ``jeffreys``, (KL(t||s) + KL(s||t)) / 2, unbounded; ``js``, the mean of both
            divergences from the mixture, at most ln 2.

    Returns:
        The mean over the batch, and over its steps, of the sum over classes, in nats; at least 0.

    Raises:
        ValueError: If the shapes differ, have another rank or are empty, or the divergence is
            unknown.

    Example:
        >>> student, teacher = torch.tensor([[9.0, 1.0]]).log(), torch.tensor([[1.0, 9.0]]).log()
        >>> f"{ssld_loss(student, teacher):.4f} {ssld_loss(student, teacher, 'js'):.4f}"
        '1.7578 0.3681'
    """
    student, teacher = logit_rows(student, teacher)
    _known(divergence)
    log_s = F.log_softmax(at_least_float32(student), dim=1)
    log_t = F.log_softmax(at_least_float32(teacher.detach()), dim=1)
    if divergence == "jeffreys":
        return ((log_t.exp() - log_s.exp()) * (log_t - log_s)).sum(1).mean() / 2
    log_mixture = torch.logaddexp(log_s, log_t) - math.log(2)
    from_student = F.kl_div(log_mixture, log_s, reduction="batchmean", log_target=True)
    from_teacher = F.kl_div(log_mixture, log_t, reduction="batchmean", log_target=True)
    return (from_student + from_teacher) / 2


class SSLDLoss(nn.Module):
    """Module form of :func:`ssld_loss`, for recipes.

    Example:
        >>> student, teacher = torch.tensor([[9.0, 1.0]]).log(), torch.tensor([[1.0, 9.0]]).log()
        >>> f"{SSLDLoss()(student, teacher):.4f} {SSLDLoss(divergence='js')(student, teacher):.4f}"
        '1.7578 0.3681'
    """

    def __init__(self, divergence: Divergence = "jeffreys") -> None:
        super().__init__()
        self.divergence = _known(divergence)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`ssld_loss`."""
        return ssld_loss(student, teacher, self.divergence)


def _known(divergence: Divergence) -> Divergence:
    if divergence not in ("jeffreys", "js"):
        raise ValueError(f"divergence must be 'jeffreys' or 'js', got {divergence!r}")
    return divergence
