"""A finished run's student as a module that takes images as they are."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from distill.core.outputs import logits_of
from distill.modules.loaders import beyond_unit
from distill.modules.networks import Normalization
from distill.runs.session import quiet_lightning
from distill.tools.student import open_student


class Student(nn.Module):
    """A network with its normalisation, classes and input size.

    Args:
        network: Maps normalised images to logits.
        normalization: What it wants images normalised with.
        classes: Names of the classes.
        input_size: Height and width of the images that it was trained on.
        resize: Whether to stretch images of another size to it.

    Attributes:
        classes: Names of the classes, in the order of the logits.
        input_size: Height and width.
        normalization: Mean and standard deviation of each channel, for images in 0..1.
    """

    def __init__(
        self,
        network: nn.Module,
        normalization: Normalization,
        classes: tuple[str, ...],
        input_size: tuple[int, int],
        resize: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.normalization = network, normalization
        self.classes, self.input_size, self._resize = classes, input_size, resize

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w), uint8 or in 0..1; of text lines (b, t, k).

        Raises:
            ValueError: If the images have another rank, type, size, range or number of channels.
        """
        if image.ndim != 4 or not (image.dtype == torch.uint8 or image.is_floating_point()):
            given = f"{str(image.dtype).removeprefix('torch.')} {tuple(image.shape)}"
            raise ValueError(f"images must be (b, c, h, w), uint8 or in 0..1, got {given}")
        if not torch.compiler.is_compiling() and (range_ := beyond_unit(image)):
            raise ValueError(f"images must be uint8 or in 0..1, not normalised, got {range_}")
        size = tuple(image.shape[-2:])
        if size != self.input_size:
            image = self._resized(image)
        return logits_of(self.network(self.normalization(image))).float()

    def _resized(self, image: Tensor) -> Tensor:
        if not self._resize:
            (h, w), (height, width) = image.shape[-2:], self.input_size
            told = f"images must be {height} x {width}, got {h} x {w}"
            raise ValueError(f"{told}: resize them, or load the student with resize=True")
        if image.dtype == torch.uint8:
            image = image.float() / 255
        return F.interpolate(image.float(), self.input_size, mode="bilinear", antialias=True)


def load_student(
    run_dir: Path | str, *, resize: bool = False, trusted: Sequence[str] = ()
) -> Student:
    """Load a finished run's student, in evaluation mode, for images as they are.

    It is built without its teacher and its data, on the CPU; random generators stay as they were.
    Its logits are those of the run, but for the precision: weights are float32.

    Args:
        run_dir: The run.
        resize: Stretch images of another size to the run's, with antialiasing. Where a run cropped
            its images, do as it did instead.
        trusted: Further packages whose classes the run's recipe may name.

    Returns:
        A module from images (b, c, h, w), uint8 or floating point in 0..1, to logits (b, k), with
        ``classes`` and ``input_size``, (h, w).

    Raises:
        RecipeError: If there is no finished run, or its files are damaged.

    Example:
        >>> load_student("runs/none")
        Traceback (most recent call last):
        distill.core.errors.RecipeError: runs/none/student.safetensors: is missing: not the \
directory of a finished run
    """
    with quiet_lightning(), isolate_rng():
        trained = open_student(Path(run_dir), trusted)
    about = trained.preprocessing
    normalization = Normalization(about.mean, about.std)
    return Student(trained.network.student, normalization, about.classes, about.size, resize).eval()
