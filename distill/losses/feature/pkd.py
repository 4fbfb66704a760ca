"""PKD, Pearson's correlation of features: Cao et al., NeurIPS 2022, arXiv 2207.02039.

Maps are standardised per channel over batch and pixels, so that magnitudes do not matter.
"""

from einops import rearrange
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, same_shape
from distill.losses.kernels import standardize


def pkd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean squared gap of standardised maps: 1 - Pearson's correlation, over channels.

    Args:
        student: Maps (b, c, h, w); project them first where the channels differ.
        teacher: Maps (b, c, h, w); no gradient flows to them.

    Returns:
        Between 0 and 2. A channel that does not vary is a channel of zeros.

    Raises:
        ValueError: If the maps differ in shape, are not (b, c, h, w) or are empty.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 1.0]]]])
        >>> f"{pkd_loss(5 * maps + 1, maps):.4f} {pkd_loss(-maps, maps):.4f}"
        '0.0000 2.0000'
    """
    same_shape(student, teacher, "b c h w")
    gap = _channels(student) - _channels(teacher.detach())
    return gap.square().mean() / 2


class PKDLoss(nn.Module):
    """Module form of :func:`pkd_loss`, for recipes.

    Example:
        >>> import torch
        >>> maps = torch.rand(2, 16, 8, 8)
        >>> f"{PKDLoss()(5 * maps + 1, maps):.4f}"  # scale and shift of a channel do not matter
        '0.0000'
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`pkd_loss`."""
        return pkd_loss(student, teacher)


def _channels(activations: Tensor) -> Tensor:
    """Maps (b, c, h, w) as standardised rows (c, b h w)."""
    return standardize(rearrange(at_least_float32(activations), "b c h w -> c (b h w)"))
