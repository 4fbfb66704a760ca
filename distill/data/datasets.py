"""Datasets that return a whole batch by its key: from memory, or decoded on demand."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import torch
import torchvision.transforms.v2.functional as TF
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from distill.core.batch import Batch
from distill.core.fingerprint import tensors_digest, view_hash
from distill.core.preprocessing import Rule
from distill.core.randomness import fold, permutation, uniform
from distill.data.decode import PIXELS
from distill.data.image_cache import cached_images
from distill.data.resize import resized, with_channels
from distill.data.sources import USUAL, Columns, InOrder, Source, open_source

_HASHED_IMAGES = 64


class BatchKey(NamedTuple):
    """Names a batch: its samples, the epoch of their views, and its number in the run."""

    epoch: int
    samples: Tensor
    step: int = 0


class Samples(Protocol):
    """A set of labelled images that returns batches by key; ids number the source's images."""

    ids: Tensor

    def __getitem__(self, key: BatchKey) -> Batch:
        """Make the batch that a key names."""

    def digest(self) -> str:
        """Hash the source's images, wherever they are stored."""


class InMemoryImages(Dataset[Batch]):
    """Images held in memory as one uint8 tensor; a batch is one gather.

    Args:
        images: All images of the source (n, c, h, w), uint8.
        targets: Class numbers (n,).
        ids: Numbers of the images of this set (m,).
    """

    def __init__(self, images: Tensor, targets: Tensor, ids: Tensor) -> None:
        self.images, self.targets, self.ids = images, targets, ids

    def __getitem__(self, key: BatchKey) -> Batch:
        """Gather the samples of a batch key."""
        samples = key.samples
        image, target = self.images[samples], self.targets[samples]
        return Batch(image, target, samples, key.epoch, key.step)

    def digest(self) -> str:
        """Hash all images of the source."""
        hashes = [view_hash(part) for part in torch.split(self.images, 4096)]
        return tensors_digest({"images": torch.cat(hashes)})


class LazyImages(Dataset[Batch]):
    """Images decoded on demand, for sets that do not fit into memory.

    Args:
        source: Of the images.
        ids: Numbers of the images of this set (m,).
        size: Height and width of the result in pixels.
        channels: 1 or 3.
        seed: For the training views of ``crop``: a keyed random resized crop (scale 0.08..1, aspect
            3/4..4/3). None: the views of evaluation.
        rule: How they are resized.

    Raises:
        ValueError: If a source that is read in order cannot be laid out for any.
    """

    def __init__(
        self,
        source: Source,
        ids: Tensor,
        size: int,
        channels: int,
        seed: int | None = None,
        rule: Rule = "crop",
    ) -> None:
        if isinstance(source, InOrder):
            source.lay_out()
        self.source, self.ids, self.targets = source, ids, source.targets
        self._size, self._channels, self._seed, self.rule = size, channels, seed, rule

    @property
    def keyed_crops(self) -> bool:
        """Whether its views differ from epoch to epoch."""
        return self._seed is not None

    def __getitem__(self, key: BatchKey) -> Batch:
        """Decode the samples of a batch key."""
        samples = key.samples
        views = [self._view(int(sample), key.epoch) for sample in samples]
        return Batch(torch.stack(views), self.targets[samples], samples, key.epoch, key.step)

    def digest(self) -> str:
        """Hash the number of images, some of the images, their size and how they are resized."""
        n = len(self.source.targets)
        some = permutation(fold("digest"), n)[:_HASHED_IMAGES]
        images = {str(i): TF.pil_to_tensor(self.source.image(int(i))) for i in some}
        shape = torch.tensor([n, self._size, self._channels])
        if self.rule != "crop":
            images[self.rule] = torch.empty(0)
        return tensors_digest({"shape": shape, **images})

    def _view(self, sample: int, epoch: int) -> Tensor:
        image = with_channels(self.source.image(sample), self._channels)
        if self._seed is None:
            return resized(image, (self._size, self._size), self.rule)
        key = fold(self._seed, "resized crop", epoch)
        box = _crop_box(key, sample, image.height, image.width)
        size = [self._size, self._size]
        view = TF.resized_crop(TF.pil_to_tensor(image), *box, size, antialias=True)
        return cast(Tensor, view)


class DecodedSource:
    """A source whose images are decoded once, all of them, and kept in their own sizes.

    Raises:
        ValueError: If an image cannot be read, with its name.
    """

    def __init__(self, source: Source) -> None:
        self.classes, self.targets, self.name = source.classes, source.targets, source.name
        self._images = [source.image(index) for index in range(len(source.targets))]

    def image(self, index: int) -> Image.Image:
        """Take image number ``index``."""
        return self._images[index]

    def stamp(self) -> None:
        """No stamp: the images are decoded already."""


@lru_cache(maxsize=4)
def load_table(
    spec: str,
    root: str,
    train: bool,
    size: int | None,
    channels: int,
    columns: Columns = USUAL,
    rule: Rule = "squash",
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Decode a whole source once per process.

    Args:
        spec: See :func:`distill.data.sources.open_source`; so are ``root`` and ``train``.
        root: Folder of torchvision sets.
        train: Whether to take the training or the test images of a torchvision set.
        size: Height and width to resize to, or None where all images have one size.
        channels: 1 or 3.
        columns: Of a table, see :func:`distill.data.sources.open_source`.
        rule: How they are resized.

    Returns:
        Images (n, c, h, w) uint8, targets (n,), class names.

    Raises:
        ValueError: If an image cannot be read or differs in size, with its name.
    """
    source = open_source(spec, root, train, columns)
    if len(source.targets) == 0:
        raise ValueError(f"no images in {Path(spec)}")
    images = load_images(source, channels, None if size is None else (size, size), rule)
    return images, source.targets, source.classes


def load_images(
    source: Source, channels: int, size: tuple[int, int] | None, rule: Rule = "squash"
) -> Tensor:
    """Load all images of a source: from the image cache, or decoded.

    Args:
        source: Of the images.
        channels: 1 or 3.
        size: Height and width to resize to, or None where all images have one size.
        rule: How they are resized.

    Returns:
        Images (n, c, h, w), uint8.

    Raises:
        ValueError: If an image cannot be read or differs in size, with its name.
    """
    stamp = source.stamp()
    way = "" if rule == "squash" else f" {rule}"
    depends_on = None if stamp is None else f"{stamp} {channels} {size} {PIXELS}{way}"
    return cached_images(depends_on, lambda: _decode_all(source, channels, size, rule))


def _decode_all(source: Source, channels: int, size: tuple[int, int] | None, rule: Rule) -> Tensor:
    table = torch.empty(0)
    for index in range(len(source.targets)):
        image = with_channels(source.image(index), channels)
        pixels = TF.pil_to_tensor(image) if size is None else resized(image, size, rule)
        if index == 0:
            table = torch.empty((len(source.targets), *pixels.shape), dtype=torch.uint8)
        if pixels.shape != table.shape[1:]:
            sizes = (
                f"{source.name(index)} is {_size(pixels)} pixels, {source.name(0)} {_size(table)}"
            )
            way = "resize them to one size, or set data.image_size"
            raise ValueError(f"{sizes}: {way}")
        table[index] = pixels
    return table


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[-1]} x {pixels.shape[-2]}"


def _crop_box(key: int, sample: int, height: int, width: int) -> tuple[int, int, int, int]:
    tries = 10
    draws = uniform(key, torch.tensor([sample]), 4 * tries).reshape(tries, 4).tolist()
    for scale, aspect, down, right in draws:
        area = (0.08 + 0.92 * scale) * height * width
        ratio = (3 / 4) * (16 / 9) ** aspect
        crop_width, crop_height = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = int(down * (height - crop_height + 1))
            left = int(right * (width - crop_width + 1))
            return top, left, crop_height, crop_width
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side
