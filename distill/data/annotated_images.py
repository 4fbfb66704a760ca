"""Annotated images, decoded on demand, with their masks or boxes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torchvision.transforms.v2.functional as TF
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from distill.core.batch import IGNORED, Batch, Boxes
from distill.core.errors import UnreadableImage
from distill.core.fingerprint import tensors_digest
from distill.core.randomness import fold, permutation
from distill.data.classes import UNLABELLED
from distill.data.datasets import BatchKey
from distill.data.decode import decode_file
from distill.data.formats import masks
from distill.data.formats.items import Item
from distill.data.naming import shown
from distill.data.resize import letterbox, resized, with_channels

_HASHED_IMAGES = 64


@dataclass(frozen=True)
class View:
    """What becomes of annotated images.

    Attributes:
        size: Height and width of the result in pixels: as large as fits, the rest is black.
        channels: 1 or 3.
        numbers: The class number of each class of the source.
        classes: How many classes there are.
        painted: Whether masks are wanted, not boxes.
        remap: New numbers of the values of mask files.
    """

    size: int
    channels: int
    numbers: Sequence[int]
    classes: int
    painted: bool
    remap: Mapping[int, int] = field(default_factory=dict)


class AnnotatedImages(Dataset[Batch]):
    """Annotated images, letterboxed, with masks that are 255 beside the image, or with boxes.

    Args:
        items: All images of the source.
        view: What becomes of them.
        ids: Numbers of the images of this set (m,).
    """

    def __init__(self, items: Sequence[Item], view: View, ids: Tensor) -> None:
        self._items, self._view, self.ids = items, view, ids

    def __getitem__(self, key: BatchKey) -> Batch:
        """Decode the samples of a batch key.

        Raises:
            UnreadableImage: If an image or a mask does not do, with its name.
        """
        items = [self._items[int(sample)] for sample in key.samples]
        shown_as = [self._shown(item) for item in items]
        image, target = (
            torch.stack([one for one, _ in shown_as]),
            torch.full((len(items),), UNLABELLED),
        )
        mask, boxes = None, None
        if self._view.painted:
            mask = torch.stack([one for _, one in shown_as])
        else:
            boxes = self._boxes(items)
        return Batch(image, target, key.samples, key.epoch, key.step, mask, boxes)

    def of(self, ids: Tensor) -> "AnnotatedImages":
        """Those images of the source that have these numbers."""
        return AnnotatedImages(self._items, self._view, ids)

    def digest(self) -> str:
        """Hash all annotations of the source, and some of the images."""
        said = hashlib.sha256(str(self._view).encode())
        for item in self._items:
            facts = (item.path.name, item.size, item.boxes, item.shapes)
            said.update(str(facts).encode(errors="surrogateescape"))
            said.update(item.mask.read_bytes() if item.mask else b"")
        some = permutation(fold("digest"), len(self._items))[:_HASHED_IMAGES]
        images = {str(int(i)): self._shown(self._items[int(i)])[0] for i in some}
        return tensors_digest({"said": torch.tensor(list(said.digest())), **images})

    def largest_box(self) -> float:
        """The longest side of a box of this set, in pixels of the result; 0 without boxes."""
        boxes = self._boxes([self._items[int(i)] for i in self.ids]).xyxy
        return float((boxes[:, 2:] - boxes[:, :2]).max()) if len(boxes) else 0.0

    def has_boxes(self) -> bool:
        """Whether there is a box in this set that is not ignored."""
        return any(not box.ignored for i in self.ids for box in self._items[int(i)].boxes)

    def _shown(self, item: Item) -> tuple[Tensor, Tensor]:
        """The image (c, h, w) and the mask (h, w), empty where none is wanted."""
        view, mask = self._view, None
        if view.painted and item.mask is not None:
            mask = masks.mask_of(item.mask, view.classes, view.remap)
        image = _decoded(item, item.size or (mask.size if mask else None))
        side = (view.size, view.size)
        if 0 in letterbox(image.size, view.size).size:
            told = f"is {image.width} x {image.height} pixels, nothing of it is left at {view.size}"
            raise UnreadableImage(f"image {shown(str(item.path))} {told}")
        pixels = resized(with_channels(image, view.channels), side, "letterbox")
        if not view.painted:
            return pixels, torch.empty(0)
        if mask is None:
            values = np.asarray(masks.painted(item.shapes, image.size))
            mask = Image.fromarray(_renumbered(values, view.numbers))
        if mask.size != side:
            mask = ImageOps.pad(mask, side, Image.Resampling.NEAREST, color=IGNORED)
        return pixels, TF.pil_to_tensor(mask)[0]

    def _boxes(self, items: Sequence[Item]) -> Boxes:
        xyxy, rows, labels, ignored = [], [], [], []
        for row, item in enumerate(items):
            if item.size is None:
                continue
            moved = letterbox(item.size, self._view.size)
            xyxy += [moved.edges(box.xyxy) for box in item.boxes]
            labels += [self._view.numbers[box.label] for box in item.boxes]
            ignored += [box.ignored for box in item.boxes]
            rows += [row] * len(item.boxes)
        return Boxes(
            torch.tensor(xyxy, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(rows, dtype=torch.int64),
            torch.tensor(labels, dtype=torch.int64),
            torch.tensor(ignored, dtype=torch.bool),
        )


def _decoded(item: Item, size: tuple[int, int] | None) -> Image.Image:
    """The image as its annotations see it: upright, or as it is stored where only that fits."""
    image = decode_file(item.path)
    if size is None or image.size == size:
        return image
    stored = decode_file(item.path, upright=False)
    if stored.size != size:
        sizes = f"is {image.width} x {image.height} pixels, {_source(item)} {size[0]} x {size[1]}"
        raise UnreadableImage(f"image {shown(str(item.path))} {sizes}")
    return stored


def _source(item: Item) -> str:
    return f"its mask {shown(str(item.mask))}" if item.mask else "its annotations say"


def _renumbered(values: NDArray[np.uint8], numbers: Sequence[int]) -> NDArray[np.uint8]:
    table = np.full(256, IGNORED, np.uint8)
    table[: len(numbers)] = numbers
    return table[values]
