"""What becomes of an image before a student sees it: kept beside the run and in every export."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from distill.core.echo import short
from distill.core.errors import RecipeError

FILE = "preprocess.json"
Rule = Literal["squash", "crop", "letterbox"]
"""``squash``: to the size, whatever the image's shape. ``letterbox``: as large as fits, its shape
kept, the rest black. ``crop``: the centre, the shorter side being ``size / 0.875`` before; a random
resized crop in training."""
CROPPED = 0.875
"""What the centre crop of ``crop`` keeps of the shorter side."""


@dataclass(frozen=True)
class Preprocessing:
    """From an upright 8-bit image to a student's input, in this order.

    Attributes:
        task: Name of the task's class.
        classes: In the order of the outputs.
        channels: 1 for greyscale, 3 for RGB.
        size: Height and width in pixels.
        resize: The rule by which images of other sizes are resized; None: the datamodule, one that
            is not ours, does not say.
        mean: Of each channel, for values in 0..1: the student gets ``(value - mean) / std``.
        std: The same.
    """

    task: str
    classes: tuple[str, ...]
    channels: int
    size: tuple[int, int]
    resize: Rule | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def facts(self, inside: bool = False) -> dict[str, Any]:
        """The content of ``preprocess.json``.

        Args:
            inside: Whether the network that this describes normalises by itself.
        """
        fixed = {
            "interpolation": "bilinear, antialiased",
            "crop_share": CROPPED if self.resize == "crop" else None,
            "mode": "L" if self.channels == 1 else "RGB",
            "range": [0, 1],
            "normalization": "inside" if inside else "outside",
        }
        return {**asdict(self), **fixed}

    def text(self, inside: bool = False) -> str:
        """The same as JSON, in a line."""
        return json.dumps(self.facts(inside))


def read_preprocessing(run_dir: Path) -> Preprocessing:
    """Read what a finished run says of its images.

    Raises:
        RecipeError: If the file is missing or damaged.
    """
    path = run_dir / FILE
    if not path.is_file():
        told = "is missing: an earlier version wrote the run; `distill resume` adds it"
        raise RecipeError(str(path), told)
    try:
        return _checked(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        problem = short(str(error), 200)
        raise RecipeError(str(path), f"is not the preprocessing of a run: {problem}") from error


def _checked(found: Mapping[str, Any]) -> Preprocessing:
    channels, (height, width) = int(found["channels"]), map(int, found["size"])
    mean, std = (tuple(float(value) for value in found[name]) for name in ("mean", "std"))
    if channels not in (1, 3) or min(height, width) < 1:
        raise ValueError("channels must be 1 or 3, sizes at least 1")
    if found["resize"] not in (None, *get_args(Rule)):
        raise ValueError(f"no such rule of resizing: {short(str(found['resize']))}")
    if not len(mean) == len(std) == channels or not all(map(math.isfinite, mean + std)):
        raise ValueError("mean and std must be a finite number for each channel")
    classes = tuple(str(name) for name in found["classes"])
    size, resize = (height, width), found["resize"]
    return Preprocessing(str(found["task"]), classes, channels, size, resize, mean, std)
