"""Augmentation of whole batches on their device, keyed by (seed, epoch, sample).

An augmentation is an ``nn.Module`` called as ``augmentation(batch, key)``, where the key already
holds seed and epoch; it returns the augmented batch and leaves the one it was given alone. Where
pixels move, masks and boxes move with them. ``docs/augment.md`` lists all of them.

One whose result for a sample depends on the rest of the batch says so by ``mixes = True`` on its
class, so that a cache of teacher outputs knows.
"""

from distill.augment.affine import RandomAffine
from distill.augment.blur import GaussianBlur, MedianBlur, Pixelate
from distill.augment.color import ColorJitter
from distill.augment.copy_paste import CopyPaste
from distill.augment.crop import RandomCrop
from distill.augment.elastic import ElasticTransform
from distill.augment.flip import RandomHorizontalFlip, RandomVerticalFlip
from distill.augment.mix import CutMix, Mixup
from distill.augment.mosaic import Mosaic
from distill.augment.multi_scale import MultiScale
from distill.augment.noise import GaussianNoise
from distill.augment.occlusion import Cutout, GridMask, RandomErasing
from distill.augment.perspective import RandomPerspective
from distill.augment.policy import AutoAugment, RandAugment, TrivialAugment
from distill.augment.resized_crop import RandomResizedCrop

__all__ = [
    "AutoAugment",
    "ColorJitter",
    "CopyPaste",
    "CutMix",
    "Cutout",
    "ElasticTransform",
    "GaussianBlur",
    "GaussianNoise",
    "GridMask",
    "MedianBlur",
    "Mixup",
    "Mosaic",
    "MultiScale",
    "Pixelate",
    "RandAugment",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "TrivialAugment",
]
