"""Labelled images from folders, archives, tables and torchvision sets."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill.core.preprocessing import Rule
from distill.core.randomness import fold
from distill.core.suggest import difference
from distill.data.classes import renumbered
from distill.data.datasets import (
    DecodedSource,
    InMemoryImages,
    LazyImages,
    Samples,
    load_table,
)
from distill.data.keyed import KeyedData
from distill.data.pipeline import Pipeline, split_validation, subsample
from distill.data.sources import Columns, open_source

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Images(KeyedData):
    """Labelled images; classes are the sorted folder names, or in the order of a table's numbers.

    Every source is numbered by the names of the training classes, in whatever order it has them.

    Args:
        train: A folder, tar or zip of class folders, a tar or zip of pairs (``KEY.jpg`` with
            ``KEY.cls`` or ``KEY.json``), a parquet file, a folder or a quoted pattern of tars or
            parquet files, a CSV of ``path`` and ``label``, or a torchvision set's name (its
            training half).
        val: The same for validation, or the share of ``train`` to split off by key.
        test: The same for testing (a torchvision set's test half); None: no test.
        train_samples: Keep only this many training images, chosen by key; None keeps all.
        batch_size: Training images per step and process.
        augment: Augmentations of training batches, in order.
        mean: Per-channel mean of images in 0..1 that inputs are normalised with; one channel here
            means greyscale images.
        std: Per-channel standard deviation.
        image_size: Height and width in pixels; None where all images have one size.
        resize: How images of other sizes become images of this one. ``squash``: whatever their
            shape; ``letterbox``: as large as fits, the rest black; ``crop``: keyed random resized
            crops for training, the centre for evaluation; it needs ``image_size``.
        in_memory: Decode everything once and keep it. False decodes in the workers, every time, and
            needs ``image_size``. The pixels are the same.
        root: Folder of torchvision sets, also for downloads.
        workers: Loader processes.
        seed: Determines the order of samples and their augmentation; None: the run's seed.
            Runs that share it see the same views, and can share a cache of teacher outputs.
        views: Epoch e shows the views of epoch ``e % views``; None: every epoch shows new ones.
        image_column: The column of images of a parquet or CSV file; None: by its usual names.
        label_column: The column of labels of it, or the field of a ``KEY.json``; None likewise.
        classes: Names of all classes in the order of the networks' outputs; None: as in ``train``.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        train: str,
        val: float | str = 0.1,
        test: str | None = None,
        train_samples: int | None = None,
        batch_size: int = 64,
        augment: Sequence[nn.Module] = (),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        image_size: int | None = None,
        resize: Rule = "squash",
        in_memory: bool = True,
        root: str = "data",
        workers: int = 0,
        seed: int | None = None,
        views: int | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(Pipeline(batch_size, workers, augment, seed, views))
        if not isinstance(val, str) and not 0 < val < 1:
            raise ValueError(f"val must be a source or a share between 0 and 1, got {val}")
        if not in_memory and image_size is None:
            raise ValueError("image_size must be given where in_memory is false")
        if resize == "crop" and image_size is None:
            raise ValueError("image_size must be given where resize is crop")
        if len(mean) != len(std) or len(mean) not in (1, 3):
            raise ValueError(f"mean and std must have 1 or 3 channels, got {mean} and {std}")
        self._train, self._val, self._test = train, val, test
        self._train_samples, self._root = train_samples, root
        self._image_size, self._in_memory, self.resize = image_size, in_memory, resize
        self.mean, self.std = tuple(mean), tuple(std)
        self._columns = Columns(image_column, label_column)
        self.classes: tuple[str, ...] = tuple(classes or ())
        self._of = self._train if classes is None else "data.classes"

    def setup(self, stage: str) -> None:
        """Open the sources that the stage needs.

        Raises:
            ValueError: If a source is missing or unreadable, classes differ between sources, or
                there are too few images for ``val`` or ``train_samples``.
        """
        if stage == "fit" and self.pipeline.train is None:
            samples = self._open(self._train, train=True, views=self.pipeline.key_seed)
            ids = samples.ids
            if isinstance(self._val, str):
                self.pipeline.val = self._open(self._val, train=False)
            else:
                val, ids = split_validation(ids, self._val, fold("val"))
                self.pipeline.val = self._subset(self._train, samples, val)
            samples.ids = subsample(ids, self._train_samples)
            self.pipeline.train = samples
        if stage == "test" or self._test is not None:
            if self._test is None:
                raise ValueError("no test images: give data.test")
            self.pipeline.test = self._open(self._test, train=False)

    def _open(self, spec: str, train: bool, views: int | None = None) -> Samples:
        channels, rule = len(self.mean), self.resize
        crops = rule == "crop" and views is not None
        if self._in_memory and not crops:
            images, targets, classes = load_table(
                spec, self._root, train, self._image_size, channels, self._columns, rule
            )
            targets = self._numbered(spec, targets, classes)
            return InMemoryImages(images, targets, torch.arange(len(targets)))
        source = open_source(spec, self._root, train, self._columns)
        if self._in_memory:
            source = DecodedSource(source)
        source.targets = self._numbered(spec, source.targets, source.classes)
        ids = torch.arange(len(source.targets))
        seed = views if crops else None
        return LazyImages(source, ids, self._image_size or 0, channels, seed, rule)

    def _subset(self, spec: str, samples: Samples, ids: Tensor) -> Samples:
        subset = self._open(spec, train=True)
        subset.ids = ids
        return subset

    def _numbered(self, spec: str, targets: Tensor, classes: tuple[str, ...]) -> Tensor:
        """Renumber the classes of a source as in the recipe, or the first source."""
        if len(classes) == 1:
            raise ValueError(f"all images in {spec} are of one class, {classes[0]}: two are needed")
        self.classes = self.classes or classes
        if odd := difference(classes, self.classes, in_order=False):
            counts = f"{spec} has {len(classes)} classes, {self._of} has {len(self.classes)}"
            raise ValueError(f"{counts}; {odd}")
        return renumbered(targets, classes, self.classes)
