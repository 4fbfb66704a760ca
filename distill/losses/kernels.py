"""Relations between the rows of a batch, from one Gram matrix.

The Gram matrix of the centred rows is accumulated in float64 (float32 on devices without it): the
squared distance of two near rows is a small difference of large numbers, and in float32 tight
clusters would come out several per cent wrong.
"""

import torch
from torch import Tensor

# Vectors shorter than this share of the longest have no direction.
_NO_DIRECTION = 1e-6
# A deviation below this share of a row's length is rounding: the row does not vary.
_CONSTANT = 1e-6
# Pairs closer than this share of the largest distance (squared) count as one point: their
# direction is rounding noise, and its gradient would grow without bound.
_SAME_POINT = 1e-10


def centered_gram(rows: Tensor) -> Tensor:
    """Compute inner products (b, b) of rows (b, ...), flattened and centered on their mean."""
    flat = rows.flatten(1)
    flat = flat if flat.device.type == "mps" else flat.double()
    flat = flat - flat.mean(0)
    with torch.autocast(flat.device.type, enabled=False):
        return flat @ flat.T


def squared_distances(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Compute squared Euclidean distances from a Gram matrix, and a mask of pairs that are apart.

    Args:
        gram: (b, b).

    Returns:
        Squared distances (b, b), 0 where a pair is not apart; and a mask (b, b) of the pairs
        that are apart, that is distinguishable from one point.
    """
    norms = gram.diagonal()
    squared = (norms[:, None] + norms[None, :] - 2 * gram).clamp_min(0)
    apart = squared.detach() > _SAME_POINT * squared.detach().max()
    apart = apart & ~torch.eye(len(gram), dtype=torch.bool, device=gram.device)
    return torch.where(apart, squared, 0.0), apart


def distances(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Compute Euclidean distances (b, b) with a finite gradient, and the mask of pairs apart."""
    squared, apart = squared_distances(gram)
    return torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0), apart


def l2_normalize(vectors: Tensor) -> Tensor:
    """Scale vectors (..., d) to length 1; zeros without gradient where one has no direction.

    Example:
        >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    scaled = scale_to_unit_max(vectors)
    squared = scaled.square().sum(-1, keepdim=True)
    directed = squared.detach() > _NO_DIRECTION**2 * squared.detach().amax()
    return torch.where(directed, scaled * torch.where(directed, squared, 1.0).rsqrt(), 0.0)


def cosines(rows: Tensor) -> Tensor:
    """Compute cosines (b, b) of rows (b, ...), flattened, in float64 where the device has it."""
    flat = rows.flatten(1)
    directions = l2_normalize(flat if flat.device.type == "mps" else flat.double())
    with torch.autocast(flat.device.type, enabled=False):
        return directions @ directions.T


def standardize(rows: Tensor) -> Tensor:
    """Shift and scale rows (n, m) to mean 0 and mean square 1; a constant row becomes zeros.

    Example:
        >>> standardize(torch.tensor([[1.0, 3.0], [2.0, 2.0]]))
        tensor([[-1.0000,  1.0000],
                [ 0.0000,  0.0000]])
    """
    scaled = scale_to_unit_max(rows, dim=1)
    deviation = scaled - scaled.mean(1, keepdim=True)
    variance = deviation.square().mean(1, keepdim=True)
    varies = variance.detach() > _CONSTANT**2 * scaled.detach().square().mean(1, keepdim=True)
    return torch.where(varies, deviation * torch.where(varies, variance, 1.0).rsqrt(), 0.0)


def scale_to_unit_max(values: Tensor, dim: int | tuple[int, ...] = ()) -> Tensor:
    """Divide values by their largest magnitude (over ``dim``), where scale does not matter.

    Their squares then neither overflow nor vanish. The divisor takes no part in the gradient.
    """
    largest = values.detach().abs().amax(dim, keepdim=True)
    return values / largest.clamp_min(torch.finfo(values.dtype).tiny)
