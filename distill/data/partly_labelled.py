"""Images of which some have labels, for semi-supervised training and for SSLD."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from distill.core.batch import Batch
from distill.core.fingerprint import fingerprint, tensors_digest
from distill.data.datasets import BatchKey, ImageFiles, ImageTable
from distill.data.digits import Digits
from distill.data.images import Images
from distill.data.joined import Joined, unlabelled_table
from distill.data.keyed import KeyedData
from distill.data.labels import select_labelled
from distill.data.paired import Added
from distill.data.selection import selected_samples
from distill.data.sources import UNLABELLED, Source, open_unlabelled

Set = ImageTable | ImageFiles


class PartlyLabelled(KeyedData):
    """Another datamodule's images, some of whose labels are hidden, or more images without labels.

    A hidden label is ``-100``: cross-entropy leaves such images out, losses that need a class
    number refuse them, and all others never ask.

    Args:
        images: Where the labelled images, and those for validation and test, come from.
        labels: Share of the training labels that are kept, of each class and by key; above 0, at
            most 1. The others are hidden.
        unlabelled: More images: a folder of any depth, a tar or a parquet file, whose labels, if it
            has any, are not read; they are resized to the labelled ones' size.
        selected: The folder of a ``distill ssld`` run: of the unlabelled images those that it
            selected. None: all of them.
        unlabelled_batch_size: None: labelled and unlabelled images are shuffled together. A number:
            each batch has so many unlabelled images behind its labelled ones, of which
            ``images`` says how many; 0 leaves the unlabelled images out.

    Raises:
        ValueError: If ``labels`` or ``unlabelled_batch_size`` is out of range.
    """

    def __init__(
        self,
        images: Digits | Images,
        labels: float = 1.0,
        unlabelled: str | None = None,
        selected: str | None = None,
        unlabelled_batch_size: int | None = None,
    ) -> None:
        super().__init__(images.pipeline)
        if not 0 < labels <= 1:
            raise ValueError(f"labels must be a share above 0 and at most 1, got {labels}")
        if unlabelled_batch_size is not None and unlabelled_batch_size < 0:
            needed = "unlabelled_batch_size must be at least 0"
            raise ValueError(f"{needed}, got {unlabelled_batch_size}")
        self._images, self._labels = images, labels
        self._unlabelled, self._selected = unlabelled, selected
        self._batch_size = unlabelled_batch_size
        self._train: Set | None = None
        self._labelled_ids = self._unlabelled_ids = torch.arange(0)
        self._used_ids = torch.arange(0)
        self.task, self.classes = images.task, images.classes
        self.mean, self.std = images.mean, images.std

    def setup(self, stage: str) -> None:
        """Open the sources that the stage needs, and hide labels.

        Raises:
            ValueError: If a source is missing or unreadable, or there are no unlabelled images.
        """
        self._images.setup(stage)
        self.classes = self._images.classes
        if stage == "fit" and self._train is None:
            self._train = self._partly_labelled(cast(Set, self.pipeline.train))
        if self._train is not None:  # digits are split anew at every stage
            self.pipeline.train = self._train
            if self._batch_size:
                self.pipeline.added = Added(self._used_ids, self._batch_size)

    def pool(self) -> Set:
        """All unlabelled images, selected or not, as they are in evaluation."""
        train = self._opened()
        if isinstance(train, ImageTable):
            return ImageTable(train.images, train.targets, self._unlabelled_ids)
        channels, size, _ = _shape(train)
        return ImageFiles(train.source, self._unlabelled_ids, size, channels)

    def pool_digest(self) -> str:
        """A hash of the unlabelled images, selected or not, in their order."""
        ids = tensors_digest({"ids": self._unlabelled_ids})
        return fingerprint({"images": self._opened().digest(), "ids": ids})

    def example(self, n: int) -> Batch:
        """The first samples, not augmented: half of them unlabelled, where training has any."""
        if self._train is None:
            return self.pipeline.example(n)
        added = self._used_ids[: n // 2]
        ids = torch.cat([self._labelled_ids[: n - len(added)], added])
        return self._opened()[BatchKey(0, ids)]

    def _opened(self) -> Set:
        if self._train is None:
            raise ValueError("no train images: setup comes first")
        return self._train

    def _partly_labelled(self, base: Set) -> Set:
        n = len(base.targets)
        more = open_unlabelled(self._unlabelled) if self._unlabelled is not None else None
        added = torch.arange(n, n + (len(more.targets) if more else 0))
        self._labelled_ids = select_labelled(base.ids, base.targets[base.ids], self._labels)
        hidden = base.ids[~torch.isin(base.ids, self._labelled_ids)]
        self._unlabelled_ids = torch.cat([hidden.sort().values, added])
        if len(self._unlabelled_ids) == 0:
            raise ValueError("there are no unlabelled images: lower labels or give unlabelled")
        self._train = train = self._joined(base, more)
        train.targets[self._unlabelled_ids] = UNLABELLED
        self._used_ids = self._used()
        together = [self._labelled_ids, self._used_ids]
        train.ids = torch.cat(together) if self._batch_size is None else self._labelled_ids
        return train

    def _joined(self, base: Set, more: Source | None) -> Set:
        """The base's images and then the others, with targets that may be written to."""
        targets = torch.cat([base.targets, *([more.targets] if more else [])])
        channels, height, width = _shape(base)
        if isinstance(base, ImageFiles):
            source = Joined(base.source, more, targets)
            return ImageFiles(source, base.ids, height, channels, self.pipeline.key_seed)
        images = base.images
        if self._unlabelled is not None:
            table = unlabelled_table(self._unlabelled, channels, height, width)
            images = torch.cat([images, table])
        return ImageTable(images, targets, base.ids)

    def _used(self) -> Tensor:
        """The unlabelled samples that training shows."""
        if self._batch_size == 0:
            return self._unlabelled_ids[:0]
        if self._selected is None:
            return self._unlabelled_ids
        return selected_samples(Path(self._selected), self.pool_digest())


def _shape(samples: Set) -> tuple[int, int, int]:
    """Channels, height and width of the images."""
    channels, height, width = samples[BatchKey(0, samples.ids[:1])].image.shape[1:]
    return channels, height, width
