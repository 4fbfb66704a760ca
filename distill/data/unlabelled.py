"""Images without labels to train on, and a few with labels to judge embeddings by."""

from copy import copy
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from distill import tasks
from distill.core.batch import Batch
from distill.data.concat_source import unlabelled_table
from distill.data.datasets import BatchKey, InMemoryImages, LazyImages, Samples
from distill.data.digits import Digits
from distill.data.images import Images
from distill.data.keyed import KeyedData
from distill.data.labels import select_per_class
from distill.data.sources import UNLABELLED, open_unlabelled

Set = InMemoryImages | LazyImages


class Unlabelled(KeyedData):
    """Trains on images whose labels are not read; the task is ``distill.tasks.Embedding``.

    Every training target is ``-100``. Validation, and test where there are test images, show the
    bank first, then the images of their own that it classifies.

    Args:
        images: Datamodule of the labelled images. Of its training images come those of the bank;
            its validation and test images are those that are classified. It says how large images
            are, and how training batches are made.
        train: What to train on: a folder of any depth, a tar, a zip or a parquet file, whose
            labels, if it has any, are not read. None: the training images of ``images``, all of
            them, without their labels.
        per_class: Images of each class in the bank, chosen by key; all where there are fewer.

    Raises:
        ValueError: If ``per_class`` is below 1.

    Example:
        >>> data = Unlabelled(Digits(batch_size=32), per_class=5)
        >>> data.setup("fit")
        >>> data.sizes()
        {'train': 1078, 'bank': 50, 'val': 270, 'test': 449}
    """

    task = tasks.Embedding()

    def __init__(
        self, images: Digits | Images, train: str | None = None, per_class: int = 100
    ) -> None:
        super().__init__(images.pipeline)
        if per_class < 1:
            raise ValueError(f"per_class must be at least 1, got {per_class}")
        self._images, self._source, self._per_class = images, train, per_class
        self._train: Set | None = None
        self._bank: Set | None = None
        self.classes, self.mean, self.std = images.classes, images.mean, images.std
        self.resize = images.resize

    def setup(self, stage: str) -> None:
        """Open the sources that the stage needs; the bank is of the training images.

        Raises:
            ValueError: If a source is missing or unreadable.
        """
        self._images.setup("fit")
        self.classes = self._images.classes
        if stage == "test":
            self._images.setup("test")
        sets = self.pipeline
        if self._train is None or self._bank is None:
            base = cast(Set, sets.train)
            chosen = select_per_class(base.ids, base.targets[base.ids], self._per_class)
            self._bank = _evaluated(base, chosen)
            self._train = _without_labels(base) if self._source is None else self._opened(base)
        sets.train = self._train
        sets.val = _behind(self._bank, sets.val)
        sets.test = _behind(self._bank, sets.test)

    def sizes(self) -> dict[str, int]:
        """Number of images by split; ``val`` and ``test`` without those of the bank."""
        sizes, bank = super().sizes(), len(self._bank.ids) if self._bank else 0
        train = {"train": sizes.pop("train")} if "train" in sizes else {}
        return train | {"bank": bank} | {name: n - bank for name, n in sizes.items()}

    def _opened(self, base: Set) -> Set:
        """The unlabelled images, in the size of the labelled ones."""
        source = cast(str, self._source)
        channels, height, width = _shape(base)
        if isinstance(base, LazyImages):
            more = open_unlabelled(source)
            ids = torch.arange(len(more.targets))
            seed = self.pipeline.key_seed if self.resize == "crop" else None
            return LazyImages(more, ids, height, channels, seed, self.resize)
        table = unlabelled_table(source, channels, height, width, self.resize)
        ids = torch.arange(len(table))
        return InMemoryImages(table, torch.full_like(ids, UNLABELLED), ids)


class BehindBank(Dataset[Batch]):
    """Images of an evaluation, behind those of the bank that they are classified by.

    Args:
        bank: Images with labels.
        images: The others.
    """

    def __init__(self, bank: Samples, images: Samples) -> None:
        self.bank, self.images = bank, images
        self.ids = torch.arange(len(bank.ids) + len(images.ids))

    def __getitem__(self, key: BatchKey) -> Batch:
        """Make a batch: its samples are numbers among those of both."""
        n = len(self.bank.ids)
        in_bank = key.samples < n
        order = torch.cat([in_bank.nonzero(), (~in_bank).nonzero()]).flatten().argsort()
        parts = [
            samples[key._replace(samples=samples.ids[own])]
            for samples, own in (
                (self.bank, key.samples[in_bank]),
                (self.images, key.samples[~in_bank] - n),
            )
            if len(own)
        ]
        image = torch.cat([part.image for part in parts])[order]
        target = torch.cat([part.target for part in parts])[order]
        return Batch(image, target, key.samples, key.epoch, key.step, bank=in_bank)

    def digest(self) -> str:
        """Hash the source of the images."""
        return self.images.digest()


def _behind(bank: Set, images: Samples | None) -> Samples | None:
    if images is None or isinstance(images, BehindBank):
        return images
    return BehindBank(bank, images)


def _evaluated(base: Set, ids: Tensor) -> Set:
    """Some images of a set, as in evaluation."""
    if isinstance(base, InMemoryImages):
        return InMemoryImages(base.images, base.targets, ids)
    channels, size, _ = _shape(base)
    return LazyImages(base.source, ids, size, channels, rule=base.rule)


def _without_labels(base: Set) -> Set:
    hidden = copy(base)
    hidden.targets = torch.full_like(base.targets, UNLABELLED)
    return hidden


def _shape(samples: Set) -> tuple[int, int, int]:
    """Channels, height and width of the images."""
    channels, height, width = samples[BatchKey(0, samples.ids[:1])].image.shape[1:]
    return channels, height, width
