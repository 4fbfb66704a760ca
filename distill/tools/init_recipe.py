"""A first recipe from three answers: which images, which teacher, which student."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from distill.core.class_paths import resolve
from distill.core.echo import short, shown
from distill.core.errors import RecipeError
from distill.core.protocols import RunModule
from distill.core.suggest import difference
from distill.core.trust import TRUSTED
from distill.data.folders import SPLITS
from distill.data.sources import Source, open_source
from distill.recipes import load
from distill.recipes.build import build
from distill.runs.directory import read_finished
from distill.tools.recipe_template import Images, plain, recipe_text

T = TypeVar("T")
NO_TEACHER = "none"
_TIMM = "students.timm_model"
_LOOKED_AT = 32
_LARGE = 96  # pixels: images above that are scaled
_SIDE = 224
"""What networks for photographs are made for."""


class Answers(NamedTuple):
    """What ``distill init`` was told; None is asked for.

    Attributes:
        data: A source of images, or a folder with ``train`` and ``val`` in it.
        teacher: The directory of a finished run, or ``none``.
        student: A network of ``students``, or a model of timm by name.
    """

    data: str | None = None
    teacher: str | None = None
    student: str | None = None


def init_recipe(file: Path, given: Answers, epochs: int = 30) -> list[str]:
    """Write a recipe, after looking at the images and building the networks.

    Args:
        file: The recipe's file, a new one.
        given: What is known already.
        epochs: How long to train.

    Returns:
        What was found, in lines, and how to go on.

    Raises:
        RecipeError: If the file exists, or an answer is wrong; nothing is written then.
    """
    if file.exists():
        raise RecipeError(str(file), "exists already: give another name")
    if file.suffix not in (".yaml", ".yml"):
        raise RecipeError(str(file), "a recipe's name ends in .yaml")
    images = _answer("data", given.data, "Images (a folder with a folder for each class)", _look)
    teacher = _answer(
        "teacher",
        given.teacher,
        "Teacher (the directory of a finished run, or none)",
        lambda folder: _teacher(folder, images),
    )
    student = _answer(
        "student",
        given.student,
        "Student (such as resnet8, or a model of timm such as resnet18)",
        lambda name: _student(name, images),
    )
    _write(file, recipe_text(str(file), images, teacher, student, epochs), images)
    seen = f"{images.samples} images of {len(images.classes)} classes in {images.train}"
    return [f"data     {seen}", f"wrote    {file}", f"train    distill fit {file}"]


def _write(file: Path, text: str, images: Images) -> None:
    """Write a recipe that builds and whose student takes such images, or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as new:
        new.write(text)
    try:
        student = cast(RunModule, build(load(file), str(file.parent)).model).student
        _try(student, torch.zeros(2, images.channels, images.side, images.side))
    except BaseException:
        file.unlink()
        raise


def _try(student: nn.Module, batch: Tensor) -> None:
    try:
        with torch.no_grad():
            student.eval()(batch)
    except (ValueError, RuntimeError, AssertionError) as error:  # the last from timm
        told = f"does not take images {tuple(batch.shape)}: {short(str(error), 200)}"
        raise RecipeError("--student", told) from error


def _answer(name: str, given: str | None, question: str, check: Callable[[str], T]) -> T:
    """Check what was given, or ask until an answer passes."""
    if given is not None:
        return check(given)
    if not sys.stdin.isatty():
        raise RecipeError(f"--{name}", "is needed where nobody can be asked")
    while True:
        sys.stdout.write(f"{question}: ")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            raise RecipeError(f"--{name}", "was not answered")
        try:
            return check(line.strip())
        except RecipeError as error:
            sys.stdout.write(f"{error}\n")


def _look(spec: str) -> Images:
    """Find out what a recipe has to know of somebody's images."""
    train, val, test = _splits(spec)
    try:
        source = open_source(train)
        sizes, modes = _sampled(source)
    except ValueError as error:
        raise RecipeError("--data", str(error)) from error
    if len(source.classes) < 2:
        raise RecipeError("--data", f"{shown(train)} has one class: two are needed")
    size = _size(sizes)
    channels = 1 if modes <= {"1", "L", "I;16"} else 3
    side = size or next(iter(sizes))[0]
    samples = len(source.targets)
    return Images(train, val, test, source.classes, samples, channels, size, side)


def _splits(spec: str) -> tuple[str, str, str]:
    """Train, val and test: a source alone, or the folders of a set that is split already."""
    folder = Path(spec)
    inside = {path.name.lower(): str(path) for path in folder.iterdir()} if folder.is_dir() else {}
    if "train" not in inside or not set(inside) - {"train"} <= SPLITS:
        return spec, "0.1", ""
    val = next((inside[name] for name in ("val", "valid", "validation") if name in inside), "0.1")
    return inside["train"], val, inside.get("test", "")


def _sampled(source: Source) -> tuple[Counter[tuple[int, int]], set[str]]:
    """Heights and widths, and modes, of some images spread over the set."""
    step = max(1, len(source.targets) // _LOOKED_AT)
    images = [source.image(index) for index in range(0, len(source.targets), step)][:_LOOKED_AT]
    sizes = Counter((image.height, image.width) for image in images)
    return sizes, {image.mode for image in images}


def _size(sizes: Counter[tuple[int, int]]) -> int | None:
    """The size to scale to; None where all images are small, square and of one size."""
    ((height, width), _), *others = sizes.most_common()
    if not others and height == width <= _LARGE:
        return None
    shorter = sorted(min(size) for size in sizes.elements())[sizes.total() // 2]
    return min(_SIDE, max(32, shorter // 32 * 32))


def _teacher(folder: str, images: Images) -> str | None:
    if folder == NO_TEACHER:
        return None
    try:
        _, result = read_finished(Path(folder))
    except RecipeError as error:
        told = f"{error}; `none` makes the recipe of a network that can be one"
        raise RecipeError("--teacher", told) from error
    if odd := difference(result["dataset"]["classes"], images.classes):
        raise RecipeError("--teacher", f"{folder} and {images.train} differ in classes: {odd}")
    return folder


def _student(name: str, images: Images) -> str:
    """The student as YAML, after it was checked that there is one of that name."""
    classes, channels = len(images.classes), images.channels
    given = f"num_classes: {classes}, in_channels: {channels}"
    path = f"students.{name}"
    try:
        resolve("--student", path, TRUSTED)
    except RecipeError:
        path, given = _TIMM, f"name: {plain(name)}, {given}"
        try:
            resolve("--student", path, TRUSTED)(name, classes, in_channels=channels)
        except ValueError as error:
            told = f"{shown(name)} is neither in `students` nor in timm: {error}"
            raise RecipeError("--student", told) from error
    return f"{{class_path: {path}, init_args: {{{given}}}}}"
