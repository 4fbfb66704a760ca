"""Mixes images of a batch in pairs, and their targets with them.

The partner of a sample is another one of the same batch, chosen by key. The share of the first is
drawn from Beta(alpha, alpha) for each sample. Both networks are given the mixed image.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import Tensor, nn

from distill.augment.checks import check_number, check_whole
from distill.augment.draws import bernoulli_mask, from_quantiles, partners, quantiles
from distill.augment.pixels import as_float, like, per_image
from distill.augment.window import Window, filled
from distill.core.batch import Batch
from distill.core.randomness import fold, uniform


class Mixup(nn.Module):
    """Adds two images with weights (Zhang et al., ICLR 2018, arXiv 1710.09412).

    Args:
        num_classes: Length of the soft targets.
        alpha: Of the Beta distribution, in 0.01..100; small values mix little.
        probability: Of an image to be mixed, in 0..1.

    Raises:
        ValueError: If an argument is outside its range, or a batch has a mask or boxes.

    Example:
        >>> batch = Batch(torch.rand(4, 3, 8, 8), torch.arange(4), torch.arange(4), epoch=0)
        >>> Mixup(num_classes=10)(batch, key=0).target.shape
        torch.Size([4, 10])
    """

    mixes = True

    def __init__(self, num_classes: int, alpha: float = 0.2, probability: float = 1.0) -> None:
        super().__init__()
        check_whole("num_classes", num_classes, 1)
        check_number("alpha", alpha, 0.01, 100)
        check_number("probability", probability, 0, 1)
        self.num_classes, self.alpha, self.probability = num_classes, alpha, probability
        self._beta = quantiles(lambda share: float(betaincinv(alpha, alpha, share)))

    def forward(self, batch: Batch, key: int) -> Batch:
        """Mix every chosen image of a batch with its partner."""
        target = _soft_target(batch, self.num_classes, "Mixup")
        share = from_quantiles(self._beta, fold(key, "share"), batch.index)[:, 0]
        mixed = bernoulli_mask(fold(key, "mixed"), batch.index, self.probability)
        share = torch.where(mixed, share, 1)
        other = partners(fold(key, "partner"), batch.index)
        pixels = as_float(batch.image)
        weight = per_image(share, pixels)
        image = like(batch.image, weight * pixels + (1 - weight) * pixels[other])
        return replace(batch, image=image, target=_mixed(target, target[other], share))


class CutMix(nn.Module):
    """Puts a rectangle of one image into another (Yun et al., ICCV 2019, arXiv 1905.04899).

    The rectangle has the image's shape, and is cut off at its edges; the targets' weights are the
    shares of pixels that are seen of each image.

    Args:
        num_classes: Length of the soft targets.
        alpha: Of the Beta distribution, in 0.01..100.
        probability: Of an image to be mixed, in 0..1.

    Raises:
        ValueError: If an argument is outside its range, or a batch has a mask or boxes.
    """

    mixes = True

    def __init__(self, num_classes: int, alpha: float = 1.0, probability: float = 1.0) -> None:
        super().__init__()
        check_whole("num_classes", num_classes, 1)
        check_number("alpha", alpha, 0.01, 100)
        check_number("probability", probability, 0, 1)
        self.num_classes, self.alpha, self.probability = num_classes, alpha, probability
        self._beta = quantiles(lambda share: float(betaincinv(alpha, alpha, share)))

    def forward(self, batch: Batch, key: int) -> Batch:
        """Put a part of its partner into every chosen image of a batch."""
        target = _soft_target(batch, self.num_classes, "CutMix")
        size = batch.image.shape[-2:]
        cut = filled(self._window(batch, key), size)
        cut &= bernoulli_mask(fold(key, "mixed"), batch.index, self.probability)[:, None, None]
        other = partners(fold(key, "partner"), batch.index)
        image = torch.where(cut[:, None], batch.image[other], batch.image)
        share = 1 - cut.sum((1, 2)).double() / (size[0] * size[1])
        return replace(batch, image=image, target=_mixed(target, target[other], share.float()))

    def _window(self, batch: Batch, key: int) -> Window:
        height, width = batch.image.shape[-2:]
        share = from_quantiles(self._beta, fold(key, "share"), batch.index)[:, 0]
        side = (1 - share.double()).sqrt()
        tall, wide = (side * height).long(), (side * width).long()
        draws = uniform(fold(key, "centre"), batch.index, 2)
        top = (draws[:, 0] * height).long() - tall // 2
        left = (draws[:, 1] * width).long() - wide // 2
        return Window(top, left, tall, wide)


def _soft_target(batch: Batch, num_classes: int, name: str) -> Tensor:
    """Turn targets into shares (b, k), float32."""
    if batch.mask is not None or batch.boxes is not None:
        raise ValueError(f"{name} mixes class labels, got a mask or boxes; for these use CopyPaste")
    target = batch.target
    if batch.line_length is not None:
        shape = tuple(target.shape)
        raise ValueError(f"{name} needs one class for each image, got text lines {shape}")
    if target.ndim == 1:
        if target.dtype != torch.int64:
            raise ValueError(f"{name} needs class numbers of type int64, got {target.dtype}")
        if len(target) and int(target.max()) >= num_classes:
            largest = int(target.max())
            raise ValueError(f"num_classes must be above class {largest}, got {num_classes}")
        if (target < 0).any():
            unknown = int(target.min())
            raise ValueError(f"{name} needs the class of every image, got {unknown}: no label")
        target = F.one_hot(target, num_classes)
    if target.shape[1] != num_classes:
        shape = tuple(target.shape)
        raise ValueError(
            f"num_classes must be the length of soft targets {shape}, got {num_classes}"
        )
    return target.float()


def _mixed(target: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return share[:, None] * target + (1 - share[:, None]) * other
