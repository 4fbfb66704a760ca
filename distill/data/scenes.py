"""Handwritten digits on photographs, with exact masks and boxes, in any number: no download.

Digits and photographs are those in scikit-learn's package: its 1,797 digits of 8x8 pixels, and
"china.jpg" and "flower.jpg" (CC BY 2.0, by James P. Neeley on Flickr and by dullhunk on Flickr).
A digit, and a part of a photograph, is in one of the three sets only.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import distribution
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from distill import tasks
from distill.core.batch import Boxes
from distill.core.randomness import fold, permutation, uniform
from distill.data import digits
from distill.data.dense import DenseImages, Table
from distill.data.keyed import KeyedData
from distill.data.pipeline import Pipeline

_PHOTOGRAPHS = ("china.jpg", "flower.jpg")
_SHARES = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
_MOST, _TRIES, _APART, _INK = 3, 8, 2, 0.4
_SMALLEST, _LARGEST = 0.29, 0.57
_DRAWS = 5


class Scenes(KeyedData):
    """Scenes of one to three digits on a part of a photograph.

    A digit's box is the smallest that holds its pixels of the mask. Classes of boxes are ``0`` to
    ``9``; classes of masks have ``ground`` before them. Digits must not be flipped: 6 and 9.

    Args:
        labels: ``masks`` makes the task ``distill.tasks.Segmentation``, ``boxes`` makes it
            ``distill.tasks.Detection``. Batches hold both.
        train: Training scenes.
        val: Scenes for validation.
        test: Scenes for testing.
        image_size: Height and width in pixels, 24 to 256.
        colour: Whether scenes are in colour, with digits of any colour: the harder set.
        batch_size: Training scenes per step and process.
        augment: Augmentations of training batches, in order.
        workers: Loader processes.
        seed: What the order of samples and their augmentation follow from; None: the run's seed.
            The scenes themselves are always the same.
        views: Epoch e shows the views of epoch ``e % views``; None: every epoch shows new ones.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> data = Scenes("boxes", train=8, val=4, test=4, batch_size=4)
        >>> data.setup("fit")
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch.image.shape, batch.mask.shape
        (torch.Size([4, 1, 48, 48]), torch.Size([4, 48, 48]))
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        labels: Literal["masks", "boxes"],
        train: int = 480,
        val: int = 200,
        test: int = 400,
        image_size: int = 48,
        colour: bool = False,
        batch_size: int = 16,
        augment: Sequence[nn.Module] = (),
        workers: int = 0,
        seed: int | None = None,
        views: int | None = None,
    ) -> None:
        super().__init__(Pipeline(batch_size, workers, augment, seed, views))
        if labels not in ("masks", "boxes"):
            raise ValueError(f"labels must be masks or boxes, got {labels!r}")
        if not 24 <= image_size <= 256:
            raise ValueError(f"image_size must be in 24..256, got {image_size}")
        self._numbers = {"train": train, "val": val, "test": test}
        for name, number in self._numbers.items():
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        self._size, self._colour = image_size, colour
        names = tuple(str(digit) for digit in range(10))
        self.task = tasks.Segmentation() if labels == "masks" else tasks.Detection()
        self.classes = ("ground", *names) if labels == "masks" else names
        self.mean, self.std = ((0.3,), (0.2,)) if not colour else ((0.3,) * 3, (0.2,) * 3)

    def setup(self, stage: str) -> None:
        """Draw the scenes of the sets that the stage needs."""
        for name in ("train", "val", "test") if stage == "fit" else ("test",):
            if getattr(self.pipeline, name) is None:
                table = scenes(name, self._numbers[name], self._size, self._colour)
                ids = torch.arange(self._numbers[name])
                setattr(self.pipeline, name, DenseImages(table, ids))

    def largest_box(self) -> float:
        """The longest side of a training box, in pixels."""
        samples = self.pipeline.train or self.pipeline.test
        return samples.largest_box() if isinstance(samples, DenseImages) else 0.0


class Objects(NamedTuple):
    """Digits that scenes may show."""

    images: Tensor
    classes: Tensor


@lru_cache(maxsize=6)
def scenes(name: str, n: int, size: int, colour: bool) -> Table:
    """Draw the first ``n`` scenes of a set, once per process.

    Args:
        name: ``train``, ``val`` or ``test``.
        n: Scenes.
        size: Height and width in pixels.
        colour: Whether they are in colour.

    Returns:
        Images, masks and boxes.
    """
    objects, grounds = _objects(name), _grounds(name, colour)
    draws = uniform(fold("scenes", name), torch.arange(n), 8 + _MOST * _TRIES * _DRAWS)
    images, masks, boxes = [], [], []
    for row in draws:
        image, mask, found = _scene(objects, grounds, row.tolist(), size)
        images.append(image)
        masks.append(mask)
        boxes.append(found)
    labelled = torch.cat(boxes)
    rows = torch.arange(n).repeat_interleave(torch.tensor([len(each) for each in boxes]))
    of_all = Boxes(labelled[:, :4].float(), rows, labelled[:, 4])
    return Table(torch.stack(images), torch.stack(masks), of_all)


def _scene(
    objects: Objects, grounds: list[Tensor], draws: list[float], size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a scene by numbers in [0, 1): its image, its mask, and (m, 5) edges and classes."""
    which, down, right, dim, count, *rest = draws
    ground = grounds[int(which * len(grounds))]
    height, width = ground.shape[1:]
    top, left = int(down * (height - size + 1)), int(right * (width - size + 1))
    canvas = ground[:, top : top + size, left : left + size] * (0.25 + 0.25 * dim)
    tint = torch.tensor([1 - 0.6 * draw for draw in rest[: len(canvas)]])
    if len(canvas) == 1:
        tint = torch.ones(1)
    mask = torch.zeros((size, size), dtype=torch.uint8)
    found: list[list[int]] = []
    for number in range(1 + int(count * _MOST)):
        for attempt in range(_TRIES):
            start = 3 + (number * _TRIES + attempt) * _DRAWS
            placed = _placed(objects, canvas, mask, tint, rest[start : start + _DRAWS])
            if placed is not None:
                found.append(placed)
                break
    image = (canvas * 255).round().clamp(0, 255).to(torch.uint8)
    return image, mask, torch.tensor(found)


def _placed(
    objects: Objects, canvas: Tensor, mask: Tensor, tint: Tensor, draws: list[float]
) -> list[int] | None:
    """Draw an object where there is room for it: its edges and class; None if there is none."""
    which, side, down, right, light = draws
    size, number = mask.shape[-1], int(which * len(objects.classes))
    height = round(size * (_SMALLEST + (_LARGEST - _SMALLEST) * side))
    top, left = int(down * (size - height + 1)), int(right * (size - height + 1))
    over, beside = max(top - _APART, 0), max(left - _APART, 0)
    if mask[over : top + height + _APART, beside : left + height + _APART].any():
        return None
    shape = [height, height]
    ink = F.interpolate(objects.images[number][None], shape, mode="bilinear", antialias=True)[0, 0]
    covered = ink > _INK
    label = int(objects.classes[number])
    mask[top : top + height, left : left + height][covered] = label + 1
    room = canvas[:, top : top + height, left : left + height]
    room += ink * ((0.7 + 0.3 * light) * tint[:, None, None] - room)
    rows, columns = (places.tolist() for places in covered.nonzero().unbind(1))
    last = [left + max(columns) + 1, top + max(rows) + 1]
    return [left + min(columns), top + min(rows), *last, label]


def _objects(name: str) -> Objects:
    """The digits of a set, with values in 0..1."""
    images, classes = digits.load()
    ids = permutation(fold("digits of scenes"), len(images))
    first, last = (round(share * len(ids)) for share in _SHARES[name])
    own = ids[first:last].sort().values
    return Objects(images[own].float() / 255, classes[own])


def _grounds(name: str, colour: bool) -> list[Tensor]:
    """The part of each photograph that belongs to a set (c, h, w), with values in 0..1."""
    found = []
    for photograph in _PHOTOGRAPHS:
        path = distribution("scikit-learn").locate_file(f"sklearn/datasets/images/{photograph}")
        with Image.open(str(path)) as image:
            pixels = np.asarray(image.convert("RGB" if colour else "L"))
        values = torch.from_numpy(pixels.copy()).float() / 255
        whole = values.movedim(-1, 0) if colour else values[None]
        first, last = (round(share * whole.shape[2]) for share in _SHARES[name])
        found.append(whole[:, :, first:last])
    return found
