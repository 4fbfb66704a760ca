"""Images of any number of classes each, from tables of labels."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from distill import tasks
from distill.core.randomness import fold
from distill.data.datasets import InMemoryImages, load_images
from distill.data.images import IMAGENET_MEAN, IMAGENET_STD
from distill.data.keyed import KeyedData
from distill.data.label_source import LabelSource
from distill.data.pipeline import Pipeline, split_validation, subsample


class MultiLabelImages(KeyedData):
    """Images with any number of labels, held in memory; the task is ``distill.tasks.MultiLabel``.

    A source is a CSV (see :class:`~distill.data.label_source.LabelSource`) or a folder that holds
    one called ``labels.csv``; paths in it are relative to its folder. Targets are float32 (b, k), 1
    where a class is there, so ``torch.nn.BCEWithLogitsLoss`` takes them.

    Args:
        train: The training images.
        val: The images for validation, or the share of ``train`` to split off by key.
        test: The images for testing; None: no test.
        classes: All classes in their order; None: those of ``train``.
        train_samples: Keep only this many training images, chosen by key; None keeps all.
        batch_size: Training images per step and process.
        augment: Augmentations of training batches, in order; those that mix images are refused by
            losses that need labels of 0 and 1.
        mean: Per-channel mean of images in 0..1; one channel here means greyscale images.
        std: Per-channel standard deviation.
        image_size: Height and width in pixels; None where all images have one size.
        workers: Loader processes.
        seed: What the order of samples and their augmentation follow from; None: the run's seed.
        views: Epoch e shows the views of epoch ``e % views``; None: every epoch shows new ones.

    Raises:
        ValueError: If an argument is out of range.
    """

    task = tasks.MultiLabel()

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        train: str,
        val: float | str = 0.1,
        test: str | None = None,
        classes: Sequence[str] | None = None,
        train_samples: int | None = None,
        batch_size: int = 64,
        augment: Sequence[nn.Module] = (),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        image_size: int | None = None,
        workers: int = 0,
        seed: int | None = None,
        views: int | None = None,
    ) -> None:
        super().__init__(Pipeline(batch_size, workers, augment, seed, views))
        if not isinstance(val, str) and not 0 < val < 1:
            raise ValueError(f"val must be a source or a share between 0 and 1, got {val}")
        if len(mean) != len(std) or len(mean) not in (1, 3):
            raise ValueError(f"mean and std must have 1 or 3 channels, got {mean} and {std}")
        self._train, self._val, self._test = train, val, test
        self._train_samples, self._image_size = train_samples, image_size
        self.mean, self.std = tuple(mean), tuple(std)
        self.classes = tuple(classes or ())

    def setup(self, stage: str) -> None:
        """Open the sources that the stage needs.

        Raises:
            ValueError: If a source is missing or unreadable, or names classes that ``train`` does
                not have.
        """
        if stage == "fit" and self.pipeline.train is None:
            samples = self._open(self._train)
            ids = samples.ids
            if isinstance(self._val, str):
                self.pipeline.val = self._open(self._val)
            else:
                val, ids = split_validation(ids, self._val, fold("val"))
                self.pipeline.val = InMemoryImages(samples.images, samples.targets, val)
            samples.ids = subsample(ids, self._train_samples)
            self.pipeline.train = samples
        if stage == "test" or self._test is not None:
            if self._test is None:
                raise ValueError("no test images: give data.test")
            self.pipeline.test = self._open(self._test)

    def _open(self, spec: str) -> InMemoryImages:
        source = LabelSource(Path(spec), self.classes or None)
        self.classes = source.classes
        size = None if self._image_size is None else (self._image_size, self._image_size)
        images = load_images(source, len(self.mean), size)
        return InMemoryImages(images, source.targets, torch.arange(len(source.targets)))
