"""Augmentation of whole batches on their device, keyed by (seed, epoch, sample).

An augmentation is an ``nn.Module`` called as ``augmentation(images, samples, key)``: images
(b, c, h, w), the sample numbers (b,) and a key that already holds seed and epoch.
"""

from distill.augment.crop import RandomCrop
from distill.augment.flip import RandomHorizontalFlip

__all__ = ["RandomCrop", "RandomHorizontalFlip"]
