"""Images of one's own with boxes or masks, in the formats that annotation tools write."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from distill import tasks
from distill.core.batch import IGNORED
from distill.core.preprocessing import Rule
from distill.core.randomness import fold
from distill.core.suggest import difference
from distill.data.annotated_images import AnnotatedImages, View
from distill.data.formats import masks
from distill.data.formats.annotations import annotations
from distill.data.formats.items import Annotations
from distill.data.formats.yolo import Part
from distill.data.images import IMAGENET_MEAN, IMAGENET_STD
from distill.data.keyed import KeyedData
from distill.data.naming import shown
from distill.data.pipeline import Pipeline, split_validation


class Annotated(KeyedData):
    """Images with boxes or masks, decoded on demand and letterboxed. What lies there is the format.

    - ``NAME.json``: COCO, boxes; or, with ``labels: masks``, its shapes, painted from large to
      small, with a class ``ground`` before the others.
    - ``NAME.yaml``: YOLO; the part of the same name is taken.
    - A folder with ``Annotations``: VOC; ``FOLDER/ImageSets/Main/NAME.txt`` is a list of it.
    - A folder with ``images`` and ``masks``: image files of class numbers, 255 not known;
      ``leftImg8bit/train`` of Cityscapes, ``ImageSets/Segmentation/NAME.txt`` of VOC.

    Classes are in the order of COCO's ids, of YOLO's names, or of the alphabet (VOC). What a person
    calls a crowd or difficult is ignored in training and figures.

    Args:
        train: The training images.
        val: Those for validation, or the share of ``train`` to split off by key.
        test: Those for testing; None: no test.
        image_size: Height and width in pixels; images are as large as fits, the rest is black.
            Figures are taken at this size.
        labels: ``boxes`` or ``masks``; ``auto``: masks where there are files of masks.
        classes: Names of all classes in the order of the networks' outputs; None: as in ``train``.
            Mask files have no names, and need them.
        remap: New class numbers of the values of mask files; values that it does not name stay.
        batch_size: Training images per step and process.
        eval_batch_size: Images per batch of evaluation.
        augment: Augmentations of training batches, in order.
        mean: Per-channel mean of images in 0..1; one channel here means greyscale images.
        std: Per-channel standard deviation.
        workers: Loader processes.
        seed: What order and augmentation follow from; None: the run's seed.
        views: Epoch e shows the views of epoch ``e % views``; None: every epoch shows new ones.

    Raises:
        ValueError: If an argument is out of range.
    """

    resize: Rule = "letterbox"

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        train: str,
        val: float | str = 0.1,
        test: str | None = None,
        *,
        image_size: int,
        labels: Literal["auto", "boxes", "masks"] = "auto",
        classes: Sequence[str] | None = None,
        remap: dict[int, int] | None = None,
        batch_size: int = 16,
        eval_batch_size: int = 16,
        augment: Sequence[nn.Module] = (),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        workers: int = 0,
        seed: int | None = None,
        views: int | None = None,
    ) -> None:
        super().__init__(Pipeline(batch_size, workers, augment, seed, views, eval_batch_size))
        if labels not in ("auto", "boxes", "masks"):
            raise ValueError(f"labels must be auto, boxes or masks, got {labels!r}")
        if not isinstance(val, str) and not 0 < val < 1:
            raise ValueError(f"val must be a source or a share between 0 and 1, got {val}")
        for name, value in (("image_size", image_size), ("eval_batch_size", eval_batch_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if len(mean) != len(std) or len(mean) not in (1, 3):
            raise ValueError(f"mean and std must have 1 or 3 channels, got {mean} and {std}")
        self._share = None if isinstance(val, str) else val
        self._sources = {"train": train, "val": val if isinstance(val, str) else train}
        if test is not None:
            self._sources["test"] = test
        self._size, self._remap, self.classes = image_size, remap or {}, tuple(classes or ())
        files = any(masks.lie_at(Path(source)) for source in self._sources.values())
        self._painted = labels == "masks" or (labels == "auto" and files)
        self.task = tasks.Segmentation() if self._painted else tasks.Detection()
        self.mean, self.std = tuple(mean), tuple(std)

    def setup(self, stage: str) -> None:
        """Read the annotations of the sets that the stage needs.

        Raises:
            ValueError: If something is wrong, in one line with file and entry.
        """
        if stage == "fit" and self.pipeline.train is None:
            self._set_up_training()
        if "test" not in self._sources and stage == "test":
            raise ValueError("no test images: give data.test")
        if "test" in self._sources and self.pipeline.test is None:
            self.pipeline.test = self._counted(self._open("test"), "test")

    def largest_box(self) -> float:
        """The longest side of a training box, in pixels."""
        samples = self.pipeline.train or self.pipeline.test
        return samples.largest_box() if isinstance(samples, AnnotatedImages) else 0.0

    def _set_up_training(self) -> None:
        train = self._open("train")
        if self._share is None:
            val = self._open("val")
        else:
            few, many = split_validation(train.ids, self._share, fold("val"))
            val, train = train.of(few), train.of(many)
        self.pipeline.val = self._counted(val, "val")
        self.pipeline.train = self._counted(train, "train")

    def _open(self, part: Part) -> AnnotatedImages:
        found = self._read(part)
        if not self.classes:
            first = self._read("train") if found.by_occurrence and part != "train" else found
            self.classes = first.classes
        if self._painted and len(self.classes) > IGNORED:
            told = f"masks have at most {IGNORED} classes, got {len(self.classes)}"
            raise ValueError(f"{shown(self._sources[part])}: {told}")
        fewer = found.by_occurrence and set(found.classes) <= set(self.classes)
        odd = difference(found.classes, self.classes, in_order=False)
        if odd and not fewer:
            source = shown(self._sources[part])
            counts = f"{source} has {len(found.classes)} classes, needed are {len(self.classes)}"
            raise ValueError(f"{counts}; {odd}")
        numbers = tuple(self.classes.index(name) for name in found.classes)
        classes, channels = len(self.classes), len(self.mean)
        view = View(self._size, channels, numbers, classes, self._painted, self._remap)
        return AnnotatedImages(found.items, view, torch.arange(len(found.items)))

    def _counted(self, samples: AnnotatedImages, part: Part) -> AnnotatedImages:
        """The samples, if there is something to find in them."""
        if not self._painted and not samples.has_boxes():
            source = shown(self._sources[part])
            raise ValueError(f"{source}: no box in the {len(samples.ids)} images for {part}")
        return samples

    def _read(self, part: Part) -> Annotations:
        path = Path(self._sources[part])
        found = annotations(path, part, self._painted, self.classes, self._remap)
        for note in found.notes:
            warnings.warn(note, stacklevel=2)
        return found
