"""Factor transfer: Kim et al., NeurIPS 2018, arXiv 1802.04977.

A paraphraser, an autoencoder of the teacher's maps, extracts factors; a translator makes factors of
the student's maps; the two are compared at length 1. The paper compares the factors themselves
(``paper``), the literature's benchmark code the channels' mean of their squares (``code``). The
paper trains the paraphraser beforehand; here it learns along, from its reconstruction error alone.
That error is part of the loss, so the term's weight (200 in the benchmarks) multiplies it too: the
paraphraser's gradient, not the student's. Encoder, decoder and
translator are three convolutions with batch norm and leaky ReLU between them and a linear end; in
the benchmarks' code they end in a leaky ReLU, encoder and decoder have no batch norm, and the
decoder is made of transposed convolutions.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, channels, maps, same_shape
from distill.losses.kernels import l2_normalize, scale_to_unit_max

Convention = Literal["paper", "code"]


def ft_loss(student: Tensor, teacher: Tensor, convention: Convention = "paper") -> Tensor:
    """Mean absolute difference of factors at length 1 per image (eq. 3, p = 1).

    Args:
        student: Factors (b, c, h, w).
        teacher: Factors (b, c, h, w); no gradient flows to them.
        convention: ``paper``, the flattened factors; ``code``, the channels' mean of their squares.

    Returns:
        The mean over the batch and the elements of what is compared. The benchmarks weigh it 200.

    Raises:
        ValueError: If the factors differ in shape, are not (b, c, h, w) or are empty, or the
            convention is unknown.

    Example:
        >>> factor = torch.tensor([[[[1.0, 0.0]]]])
        >>> ft_loss(factor, 3 * factor), ft_loss(factor, factor.flip(3))
        (tensor(0.), tensor(1.))
    """
    same_shape(student, teacher, "b c h w")
    _check(convention)
    return F.l1_loss(_compared(student, convention), _compared(teacher.detach(), convention))


class FTLoss(nn.Module):
    """Paraphraser and translator around :func:`ft_loss`, plus the paraphraser's own error.

    Args:
        student_channels: Channels of the student's maps.
        teacher_channels: Channels of the teacher's maps.
        rate: Factors per channel of the teacher, the paper's k, 0.5 there; in 0..1, at least one
            factor.
        convention: See :func:`ft_loss`.

    Raises:
        ValueError: If a number of channels is below 1, or another argument out of range.

    Example:
        >>> loss = FTLoss(student_channels=16, teacher_channels=64)
        >>> loss(torch.randn(2, 16, 8, 8), torch.randn(2, 64, 8, 8)).shape
        torch.Size([])
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        rate: float = 0.5,
        convention: Convention = "paper",
    ) -> None:
        super().__init__()
        channels(student_channels, teacher_channels)
        _check(convention)
        if not 0 < rate <= 1:
            raise ValueError(f"rate must be in 0..1, got {rate}")
        self.convention = convention
        factors = max(1, round(rate * teacher_channels))
        self.paraphraser = _stack(teacher_channels, factors)
        self.decoder = _stack(factors, teacher_channels)
        self.translator = _stack(student_channels, factors)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute the loss of maps (b, c, h, w) of one height and width.

        Raises:
            ValueError: If they are not or, in training, hold a single pixel (batch norm).
        """
        maps(student, teacher)
        teacher = at_least_float32(teacher.detach())
        with torch.autocast(student.device.type, enabled=False):
            factors = self.paraphraser(teacher)
            reconstruction = F.mse_loss(self.decoder(factors), teacher)
            translated = self.translator(at_least_float32(student))
        return ft_loss(translated, factors, self.convention) + reconstruction


def _check(convention: Convention) -> None:
    if convention not in ("paper", "code"):
        raise ValueError(f"convention must be 'paper' or 'code', got {convention!r}")


def _compared(factors: Tensor, convention: Convention) -> Tensor:
    factors = scale_to_unit_max(at_least_float32(factors), dim=(1, 2, 3))
    if convention == "code":
        factors = factors.square().mean(1)
    return l2_normalize(factors.flatten(1))


def _stack(inner: int, outer: int) -> nn.Sequential:
    """Three 3x3 convolutions with batch norm and leaky ReLU, the last one linear."""
    return nn.Sequential(
        nn.Conv2d(inner, inner, 3, padding=1, bias=False),
        nn.BatchNorm2d(inner),
        nn.LeakyReLU(0.1),
        nn.Conv2d(inner, outer, 3, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.LeakyReLU(0.1),
        nn.Conv2d(outer, outer, 3, padding=1),
    )
