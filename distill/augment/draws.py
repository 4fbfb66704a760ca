"""Keyed draws of an augmentation's parameters, one per sample.

A batch's parameters must not depend on the batch, to the last bit. Sums and products do not, but
vectorised sin, exp or pow may end in other bits at the end of a tensor than inside it. What needs
them is computed in float64 and rounded to multiples of 2^-16, far coarser than that difference;
distributions other than the uniform are read from a table of quantiles.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from distill.core.randomness import uniform

_QUANTILES = 4096


def uniform_between(key: int, samples: Tensor, low: float, high: float) -> Tensor:
    """Draw a uniform number in ``low..high``, float32, for each sample number (b,)."""
    return low + (high - low) * uniform(key, samples)[:, 0]


def bernoulli_mask(key: int, samples: Tensor, probability: float) -> Tensor:
    """Draw a mask (b,), bool, of samples, each true with the given probability."""
    return uniform(key, samples)[:, 0] < probability


def where_rows(rows: Tensor, changed: Tensor, original: Tensor) -> Tensor:
    """Take rows of ``changed`` (b, ...) where ``rows`` (b,) is true, of ``original`` elsewhere."""
    return torch.where(rows.view(-1, *[1] * (changed.ndim - 1)), changed, original)


def quantize(values: Tensor) -> Tensor:
    """Round to the nearest multiples of 2^-16, float64."""
    return (values.double() * 2.0**16).round() * 2.0**-16


def quantiles(inverse_cdf: Callable[[float], float]) -> Tensor:
    """Tabulate a distribution as 4096 equally likely multiples of 2^-16, float32."""
    steps = range(_QUANTILES)
    values = torch.tensor([inverse_cdf((step + 0.5) / _QUANTILES) for step in steps])
    return quantize(values).float()


def from_quantiles(table: Tensor, key: int, samples: Tensor, draws: int = 1) -> Tensor:
    """Draw numbers (b, draws) from the distribution that :func:`quantiles` has tabulated."""
    places = (uniform(key, samples, draws) * _QUANTILES).long()
    return table.to(samples.device)[places]


def partners(key: int, samples: Tensor) -> Tensor:
    """Pair each row with another one (b,): its successor in a keyed circle of the batch.

    Which samples meet depends on which are in the batch together, but not on their order.
    """
    numbered = samples.argsort(stable=True)  # where two draws are the same
    order = numbered[uniform(key, samples)[numbered, 0].argsort(stable=True)]
    return torch.empty_like(order).scatter_(0, order, order.roll(-1))
