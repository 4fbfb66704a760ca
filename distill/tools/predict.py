"""What a finished run's student says of images: ``distill predict``."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from torch import Tensor, nn

from distill.core.errors import RecipeError
from distill.core.preprocessing import FILE as PREPROCESS
from distill.core.preprocessing import Preprocessing, Rule
from distill.data.resize import resized, with_channels
from distill.runs.session import quiet_lightning
from distill.tasks import Tells
from distill.tools.named_images import Named, open_images
from distill.tools.prediction_files import Prediction, wants_pictures, writer
from distill.tools.student import open_student

_BATCH = 64


class Counts(NamedTuple):
    """How many images were told, and how many could not be read."""

    told: int
    damaged: int


def predict(
    run_dir: Path,
    images: Sequence[str | Path],
    out: Path | None = None,
    most: int = 5,
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> Counts:
    """Write what a finished run's student says of images: a table, or pictures.

    An image that cannot be read is named and counted, and the others are told.

    Args:
        run_dir: The run; images are read with its own preprocessing.
        images: Files, folders of any depth, patterns such as ``a/*.jpg``, archives and tables.
        out: ``.csv`` or ``.jsonl``, a row for each image, or a folder, for pictures and a table;
            None: the table is printed.
        most: Classes to tell of each image, where an image has one class.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print what cannot be read, and the counts.

    Raises:
        RecipeError: If there is no finished run, no such image, or none that can be read.
    """
    console = console or Console(stderr=True)
    pictures = wants_pictures(out)
    told = damaged = 0
    found = predictions(run_dir, images, most, pictures, trusted)
    with writer(out) as write:
        for prediction in found:
            write(prediction)
            told, damaged = told + (not prediction.error), damaged + bool(prediction.error)
            if prediction.error:
                console.print(prediction.error, highlight=False, soft_wrap=True, markup=False)
        if not told:
            raise RecipeError("images", f"none can be read, of {damaged}")
    place = "" if out is None else f"  {out}"
    also = f", {damaged} could not be read" if damaged else ""
    line = f"images   {told} told{also}{place}"
    console.print(line, highlight=False, soft_wrap=True, markup=False)
    return Counts(told, damaged)


def predictions(
    run_dir: Path,
    images: Sequence[str | Path],
    most: int = 5,
    pictures: bool = False,
    trusted: Sequence[str] = (),
) -> Iterator[Prediction]:
    """The same, one image after the other; no more than a batch of them is in memory.

    Args:
        run_dir: The run.
        images: See :func:`predict`.
        most: Classes to tell of each image, where an image has one class.
        pictures: Whether to draw pictures.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: At once, if there is no finished run or no such image.
    """
    if most < 1:
        raise RecipeError("--top", f"must be at least 1, got {most}")
    named = open_images(images)
    with quiet_lightning():
        trained = open_student(run_dir, trusted)
    known, task = trained.preprocessing, trained.task
    if known.resize is None:
        told = "does not say how images are resized: give the datamodule `resize`"
        raise RecipeError(str(run_dir / PREPROCESS), told)
    if not isinstance(task, Tells):
        missing = f"{type(task).__name__} lacks rows and pictures: see docs/extending.md"
        raise RecipeError("data.task", missing)
    read = partial(_pixels, known, known.resize)
    tell = partial(_told, trained.network, task, known.classes, most, pictures)
    return _predictions(map(read, named), tell)


_Pixels = tuple[str, Tensor | ValueError]
"""What an image is called, and the network's input (c, h, w), uint8, or why there is none."""


def _pixels(known: Preprocessing, rule: Rule, named: Named) -> _Pixels:
    name, image = named
    if isinstance(image, ValueError):
        return name, image
    return name, resized(with_channels(image, known.channels), known.size, rule)


def _predictions(
    pixels: Iterator[_Pixels], tell: Callable[[Tensor], list[Prediction]]
) -> Iterator[Prediction]:
    """Images in batches; those that could not be read keep their place."""
    while batch := list(islice(pixels, _BATCH)):
        images = [image for _, image in batch if isinstance(image, Tensor)]
        told = iter(tell(torch.stack(images)) if images else ())
        for name, image in batch:
            if isinstance(image, Tensor):
                yield next(told)._replace(path=name)
            else:
                yield Prediction(name, {}, str(image))


@torch.no_grad()
def _told(
    network: nn.Module,
    task: Tells,
    classes: Sequence[str],
    most: int,
    pictures: bool,
    images: Tensor,
) -> list[Prediction]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    outputs = network.to(device)(images.to(device).float() / 255)
    rows = task.rows(outputs, classes, most)
    if not pictures:
        return [Prediction("", row) for row in rows]
    drawn = task.pictures(images, outputs, classes)
    return [Prediction("", row, picture=picture) for row, picture in zip(rows, drawn, strict=True)]
