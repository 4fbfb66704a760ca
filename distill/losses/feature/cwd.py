"""Channel-wise distillation for dense prediction: Shu et al., ICCV 2021, arXiv 2011.13256.

Each channel of a map is a distribution over the pixels. Log-probabilities are computed directly:
the logarithm of a softmax is minus infinity on large maps.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, positive, same_shape


def cwd_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """T^2 times the mean over images and channels of KL(teacher || student) over pixels.

    Invariant to a constant added to any channel. The paper weighs it 3 on logit maps with T = 4.

    Args:
        student: Maps (b, c, h, w); project them first where the channels differ.
        teacher: Maps (b, c, h, w); no gradient flows to them.
        temperature: T, divides both maps; positive.

    Returns:
        In nats; at least 0.

    Raises:
        ValueError: If the maps differ in shape, are not (b, c, h, w) or are empty, or T is not
            positive.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 1, 1, 2), torch.tensor([[[[3.0, 1.0]]]]).log()
        >>> f"{cwd_loss(student, teacher, temperature=1.0):.4f}"
        '0.1308'
    """
    same_shape(student, teacher, "b c h w")
    positive("temperature", temperature)
    log_s, log_t = (
        F.log_softmax(at_least_float32(value).flatten(2).flatten(0, 1) / temperature, dim=1)
        for value in (student, teacher.detach())
    )
    return temperature**2 * F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)


class CWDLoss(nn.Module):
    """Module form of :func:`cwd_loss`, for recipes.

    Example:
        >>> import torch
        >>> loss, maps = CWDLoss(temperature=4.0), torch.randn(2, 16, 8, 8)
        >>> f"{loss(maps + 1, maps).abs():.4f}"  # a constant added to a channel does not matter
        '0.0000'
    """

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`cwd_loss`."""
        return cwd_loss(student, teacher, self.temperature)
