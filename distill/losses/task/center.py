"""Centre loss: Wen, Zhang, Li and Qiao, ECCV 2016, doi 10.1007/978-3-319-46478-7_31 (no arXiv).

The centres follow the paper's own update (eq. 4): a buffer that moves by a rate of its own after
each training batch. The other convention, common in code, makes them parameters of the optimizer.
Their gradient is then multiplied by the term's weight (0.003 in the paper) and by the learning
rate, so that they hardly leave their random start, and weight decay pulls them to 0.
"""

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32
from distill.losses.task.targets import labeled_mask


def center_loss(features: Tensor, target: Tensor, centres: Tensor) -> Tensor:
    """Half the squared distance of each row from the centre of its class (eq. 2).

    Args:
        features: (b, d).
        target: Class numbers (b,).
        centres: One row per class (k, d); no gradient flows to them.

    Returns:
        The mean over the batch; 0 with a gradient of 0 if it is empty.

    Raises:
        ValueError: If the shapes do not belong together or a class number is out of range.

    Example:
        >>> centres = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
        >>> center_loss(torch.zeros(1, 2), torch.tensor([1]), centres)
        tensor(12.5000)
    """
    _check(features, target, centres)
    return _gaps(features, target, centres).square().sum() / (2 * max(len(features), 1))


class CenterLoss(nn.Module):
    """Centres that follow their classes, around :func:`center_loss`.

    After each batch in training mode a centre moves by ``rate`` times the sum of the gaps to its
    class's n rows over 1 + n (eq. 4); in evaluation mode it stays.

    Args:
        num_classes: k.
        dim: Features per row, d.
        rate: The paper's alpha, in 0..1; 0.5 in the paper.

    Attributes:
        centres: Buffer (num_classes, dim), 0 at first, part of every checkpoint; in data-parallel
            training those of the first process count.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> loss = CenterLoss(num_classes=2, dim=1)
        >>> loss(torch.tensor([[2.0]]), torch.tensor([1])), loss.centres
        (tensor(2.), tensor([[0.0000],
                [0.5000]]))
    """

    centres: Tensor

    def __init__(self, num_classes: int, dim: int, rate: float = 0.5) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("dim", dim)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be in 0..1, got {rate}")
        self.rate = rate
        self.register_buffer("centres", torch.zeros(num_classes, dim))

    def check_data(self, classes: int, samples: int) -> None:
        """See :class:`distill.losses.checks.SizedByData`.

        Raises:
            ValueError: If there are more classes than ``num_classes``.
        """
        if classes > len(self.centres):
            message = f"num_classes must be at least {classes}, the classes of the data"
            raise ValueError(f"{message}, got {len(self.centres)}")

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """See :func:`center_loss`; in training mode the centres move afterwards."""
        value = center_loss(features, target, self.centres)
        if self.training:
            self._move(features.detach(), target.long())
        return value

    def _move(self, features: Tensor, target: Tensor) -> None:
        gaps = _gaps(features, target, self.centres).to(self.centres.dtype)
        sums = torch.zeros_like(self.centres).index_add_(0, target, gaps)
        counts = torch.bincount(target, minlength=len(self.centres))
        self.centres += self.rate * sums / (1 + counts[:, None])


def _check(features: Tensor, target: Tensor, centres: Tensor) -> None:
    if features.ndim != 2 or centres.ndim != 2 or features.shape[1] != centres.shape[1]:
        shapes = f"got shapes {tuple(features.shape)} and {tuple(centres.shape)}"
        raise ValueError(f"features and centres need shapes (b, d) and (k, d), {shapes}")
    labeled_mask(target, (len(features),), len(centres))


def _gaps(features: Tensor, target: Tensor, centres: Tensor) -> Tensor:
    return at_least_float32(features) - at_least_float32(centres.detach())[target.long()]
