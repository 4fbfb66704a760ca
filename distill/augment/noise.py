"""Noise, added to each pixel independently."""

from dataclasses import replace
from statistics import NormalDist

from torch import nn

from distill.augment.checks import check_number, check_range
from distill.augment.draws import (
    bernoulli_mask,
    from_quantiles,
    quantiles,
    uniform_between,
    where_rows,
)
from distill.augment.pixels import as_float, like, per_image
from distill.core.batch import Batch
from distill.core.randomness import fold


class GaussianNoise(nn.Module):
    """Adds normally distributed noise of each image's own strength.

    Args:
        std: Smallest and largest standard deviation, where white is 1; in 0..1.
        probability: Of an image to be changed, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, std: tuple[float, float] = (0.0, 0.1), probability: float = 0.5) -> None:
        super().__init__()
        check_range("std", std, 0, 1)
        check_number("probability", probability, 0, 1)
        self.std, self.probability = std, probability
        self._normal = quantiles(NormalDist().inv_cdf)

    def forward(self, batch: Batch, key: int) -> Batch:
        """Add noise to every chosen image of a batch."""
        image, samples = batch.image, batch.index
        pixels = as_float(image)
        noise = from_quantiles(self._normal, fold(key, "noise"), samples, image.shape[1:].numel())
        std = per_image(uniform_between(fold(key, "std"), samples, *self.std), pixels)
        noisy = like(image, pixels + std * noise.view(image.shape).to(pixels.dtype))
        rows = bernoulli_mask(fold(key, "changed"), samples, self.probability)
        return replace(batch, image=where_rows(rows, noisy, image))
