"""The digits in scikit-learn's package: 1,797 images, 8x8, ten classes, no download."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import distribution

import numpy as np
import torch
from torch import Tensor, nn

from distill.core.randomness import fold
from distill.data.datasets import InMemoryImages
from distill.data.keyed import KeyedData
from distill.data.pipeline import Pipeline, split, split_validation, subsample


class Digits(KeyedData):
    """Handwritten digits (1, 8, 8), split by key into train, val and test.

    The split does not depend on the run's seed, so every run of a study sees the same three sets.

    Args:
        val: Share of all images for validation; above 0.
        test: Share of all images for testing.
        train_samples: Keep only this many training images, chosen by key; None keeps all.
        batch_size: Training images per step.
        augment: Augmentations of training batches, in order.
        workers: Loader processes.
        seed: Determines the order of samples and their augmentation; None: the run's seed.
            Runs that share it see the same views, and can share a cache of teacher outputs.
        views: Epoch e shows the views of epoch ``e % views``; None: every epoch shows new ones.

    Example:
        >>> data = Digits(batch_size=32)
        >>> data.setup("fit")
        >>> next(iter(data.train_dataloader())).image.shape
        torch.Size([32, 1, 8, 8])
    """

    classes = tuple(str(digit) for digit in range(10))
    mean, std = (0.3053,), (0.3760,)

    def __init__(
        self,
        val: float = 0.15,
        test: float = 0.25,
        train_samples: int | None = None,
        batch_size: int = 64,
        augment: Sequence[nn.Module] = (),
        workers: int = 0,
        seed: int | None = None,
        views: int | None = None,
    ) -> None:
        super().__init__(Pipeline(batch_size, workers, augment, seed, views))
        if not (0 < val < 1 and 0 <= test < 1 and val + test < 1):
            found = f"got {val} and {test}"
            raise ValueError(f"val and test must be shares that leave some, val above 0, {found}")
        self._shares, self._train_samples = (val, test), train_samples

    def setup(self, stage: str) -> None:
        """Make the three sets.

        Raises:
            ValueError: If there are no images for validation, or too few for ``train_samples``.
        """
        images, targets = load()
        val_share, test_share = self._shares
        test, rest = split(torch.arange(len(images)), test_share, fold("digits", "test"))
        val, train = split_validation(rest, val_share / (1 - test_share), fold("digits", "val"))
        ids = {"train": subsample(train, self._train_samples), "val": val, "test": test}
        for name, own in ids.items():
            setattr(self.pipeline, name, InMemoryImages(images, targets, own))


@lru_cache(maxsize=1)
def load() -> tuple[Tensor, Tensor]:
    """Images (1797, 1, 8, 8) uint8 and classes (1797,), read once per process."""
    # Not by load_digits: importing scikit-learn takes ten times as long as reading its file.
    path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = torch.from_numpy(np.loadtxt(str(path), np.uint8, delimiter=","))
    images, targets = table[:, :-1], table[:, -1]
    images = (images * (255 / 16)).round().to(torch.uint8)
    return images.view(-1, 1, 8, 8), targets.long()
