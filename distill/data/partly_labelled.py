"""Partly labelled images, for semi-supervised training and for SSLD."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from distill.core.batch import Batch
from distill.core.fingerprint import fingerprint, tensors_digest
from distill.data.concat_source import ConcatSource, unlabelled_table
from distill.data.datasets import BatchKey, InMemoryImages, LazyImages
from distill.data.digits import Digits
from distill.data.images import Images
from distill.data.keyed import KeyedData
from distill.data.labels import select_labelled
from distill.data.paired import Added
from distill.data.selection import selected_samples
from distill.data.sources import UNLABELLED, Source, open_unlabelled

Set = InMemoryImages | LazyImages


class PartlyLabelled(KeyedData):
    """Hides some labels of another datamodule's images, or adds images without labels.

    A hidden label is ``-100``: cross-entropy leaves such images out, losses that need a class
    number refuse them, and all others never ask.

    Args:
        images: Datamodule of the labelled images, and of those for validation and test.
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
            message = "unlabelled_batch_size must be at least 0"
            raise ValueError(f"{message}, got {unlabelled_batch_size}")
        self._images, self._labels = images, labels
        self._unlabeled, self._selected = unlabelled, selected
        self._batch_size = unlabelled_batch_size
        self._train: Set | None = None
        self._labeled_ids = self._unlabeled_ids = torch.arange(0)
        self._used_ids = torch.arange(0)
        self.task, self.classes = images.task, images.classes
        self.mean, self.std, self.resize = images.mean, images.std, images.resize

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
        """Make a set of all unlabelled images, selected or not, as in evaluation."""
        train = self._opened()
        if isinstance(train, InMemoryImages):
            return InMemoryImages(train.images, train.targets, self._unlabeled_ids)
        channels, size, _ = _shape(train)
        return LazyImages(train.source, self._unlabeled_ids, size, channels, None, train.rule)

    def pool_digest(self) -> str:
        """Hash the unlabelled images, selected or not, in their order."""
        ids = tensors_digest({"ids": self._unlabeled_ids})
        return fingerprint({"images": self._opened().digest(), "ids": ids})

    def example(self, n: int) -> Batch:
        """Make a batch of the first samples, half of them unlabelled if training has any."""
        if self._train is None:
            return self.pipeline.example(n)
        added = self._used_ids[: n // 2]
        ids = torch.cat([self._labeled_ids[: n - len(added)], added])
        return self._opened()[BatchKey(0, ids)]

    def _opened(self) -> Set:
        if self._train is None:
            raise ValueError("no train images: call setup first")
        return self._train

    def _partly_labelled(self, base: Set) -> Set:
        n = len(base.targets)
        more = open_unlabelled(self._unlabeled) if self._unlabeled is not None else None
        added = torch.arange(n, n + (len(more.targets) if more else 0))
        self._labeled_ids = select_labelled(base.ids, base.targets[base.ids], self._labels)
        hidden = base.ids[~torch.isin(base.ids, self._labeled_ids)]
        self._unlabeled_ids = torch.cat([hidden.sort().values, added])
        if len(self._unlabeled_ids) == 0:
            raise ValueError("there are no unlabelled images: lower labels or give unlabelled")
        self._train = train = self._concatenated(base, more)
        train.targets[self._unlabeled_ids] = UNLABELLED
        self._used_ids = self._used()
        together = [self._labeled_ids, self._used_ids]
        train.ids = torch.cat(together) if self._batch_size is None else self._labeled_ids
        return train

    def _concatenated(self, base: Set, more: Source | None) -> Set:
        """Concatenate the base's images and the others, with targets that may be written to."""
        targets = torch.cat([base.targets, *([more.targets] if more else [])])
        channels, height, width = _shape(base)
        if isinstance(base, LazyImages):
            source = ConcatSource(base.source, more, targets)
            seed = self.pipeline.key_seed if base.keyed_crops else None
            return LazyImages(source, base.ids, height, channels, seed, base.rule)
        images = base.images
        if self._unlabeled is not None:
            table = unlabelled_table(self._unlabeled, channels, height, width, self.resize)
            images = torch.cat([images, table])
        return InMemoryImages(images, targets, base.ids)

    def _used(self) -> Tensor:
        """List the unlabelled samples that training shows."""
        if self._batch_size == 0:
            return self._unlabeled_ids[:0]
        if self._selected is None:
            return self._unlabeled_ids
        return selected_samples(Path(self._selected), self.pool_digest())


def _shape(samples: Set) -> tuple[int, int, int]:
    """Channels, height and width of the images."""
    channels, height, width = samples[BatchKey(0, samples.ids[:1])].image.shape[1:]
    return channels, height, width
