"""A teacher from an ONNX file: any exported network, also from Paddle, TensorFlow or a vendor."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from distill.core.outputs import LOGITS
from distill.core.suggest import nearest
from teachers.onnx_file import (
    OnnxTensor,
    digest,
    first_line,
    inputs_of,
    metadata_of,
    outputs_of,
    session,
)

_TYPES: Mapping[str, type] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
Layout = Literal["NCHW", "NHWC"]
Order = Literal["RGB", "BGR"]
Gives = Literal["logits", "probabilities"]


class OnnxGraph(nn.Module):
    """Runs an ONNX file and gives all its tensors by name; it has no weights that torch knows.

    Args:
        path: The file; its contents count in a fingerprint, its place does not.
        layout: Of the images that it takes.
        order: Of the channels that it takes.

    Raises:
        ValueError: If the file is missing, damaged or does not take images.
    """

    def __init__(self, path: Path, layout: Layout = "NCHW", order: Order = "RGB") -> None:
        super().__init__()
        self.path, self.layout, self.order = path, layout, order
        self.sha256 = digest(path)
        inputs = inputs_of(path, self.sha256)
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].dtype not in _TYPES:
            found = ", ".join(f"{i.name} {i.dtype} {list(i.shape)}" for i in inputs)
            raise ValueError(f"{path} must take one batch of images, takes {found or 'nothing'}")
        outputs = outputs_of(path, self.sha256)
        self.names = [out.name for out in outputs if out.dtype.startswith("tensor(")]
        self.size, self.channels = _image(inputs[0], layout)
        first = inputs[0].shape[0]
        self.batch = first if isinstance(first, int) else None

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The outputs with a row for each of the normalised images (b, c, h, w).

        Raises:
            ValueError: If the file takes images of another size, or fails.
        """
        self._check(image)
        pixels = self._pixels(image)
        step = self.batch or max(len(pixels), 1)
        starts = range(0, max(len(pixels), 1), step)
        parts = [self._run(pixels[at : at + step], step) for at in starts]
        return {
            name: torch.from_numpy(np.concatenate([part[name] for part in parts])).to(image.device)
            for name in parts[0]
        }

    def _check(self, image: Tensor) -> None:
        sides = tuple(image.shape[-2:])
        if any(own is not None and own != side for own, side in zip(self.size, sides, strict=True)):
            needed = "x".join("any" if side is None else str(side) for side in self.size)
            hint = "teachers.Resized gives it its size"
            raise ValueError(
                f"{self.path} takes {needed} pixels, got {sides[0]}x{sides[1]}: {hint}"
            )
        if self.channels not in (None, image.shape[1]) and image.shape[1] != 1:
            message = f"{self.path} takes {self.channels} channels, got {image.shape[1]}"
            raise ValueError(message)

    def _pixels(self, image: Tensor) -> Any:  # noqa: ANN401 - a numpy array of the file's type
        dtype = _TYPES[inputs_of(self.path, self.sha256)[0].dtype]
        image = image.detach().float().cpu()
        if self.channels is not None and image.shape[1] == 1:
            image = image.expand(-1, self.channels, -1, -1)
        if self.order == "BGR":
            image = image.flip(1)
        if self.layout == "NHWC":
            image = image.movedim(1, -1)
        if dtype is np.uint8:
            image = (image * 255).round().clamp(0, 255)
        return np.ascontiguousarray(image.numpy().astype(dtype))

    def _run(self, pixels: Any, step: int) -> dict[str, Any]:  # noqa: ANN401 - numpy arrays
        """The outputs for at most ``step`` images that have a row for each."""
        rest = np.zeros((step - len(pixels), *pixels.shape[1:]), pixels.dtype)
        running = session(self.path, self.sha256)
        try:
            images = {running.get_inputs()[0].name: np.concatenate([pixels, rest])}
            found = running.run(self.names, images)
        except Exception as error:  # onnxruntime's own kinds, which share no base
            raise ValueError(f"{self.path} fails: {first_line(error)}") from error
        return {
            name: array[: len(pixels)]
            for name, array in zip(self.names, found, strict=True)
            if array.shape[:1] == (step,)
        }


class OnnxTeacher(nn.Module):
    """What :func:`onnx_model` makes: the graph, and what its outputs are called."""

    def __init__(
        self,
        graph: OnnxGraph,
        outputs: Mapping[str, str],
        columns: Sequence[int] | None,
        gives: Gives,
    ) -> None:
        super().__init__()
        self.graph, self.outputs, self.gives = graph, dict(outputs), gives
        self.columns = None if columns is None else list(columns)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits of images (b, c, h, w), or several outputs by name."""
        given = self.graph(image)
        for name in self.outputs.values():
            if name not in given:
                raise ValueError(f"{self.graph.path} gives no row for each image in {name!r}")
        found = {name: given[of] for name, of in self.outputs.items()}
        if LOGITS in found:
            found[LOGITS] = self._logits(found[LOGITS])
        return found[LOGITS] if list(found) == [LOGITS] else found

    def _logits(self, given: Tensor) -> Tensor:
        logits = given.float()
        if self.gives == "probabilities":
            logits = logits.clamp_min(torch.finfo(torch.float32).tiny).log()
        if self.columns is None:
            return logits
        if logits.ndim not in (2, 3) or max(self.columns) >= logits.shape[-1]:
            needed = f"columns need logits (b, k) or (b, t, k) with k above {max(self.columns)}"
            raise ValueError(f"{needed}, got {tuple(logits.shape)}")
        return logits[..., self.columns]


def onnx_model(  # noqa: PLR0913 - these are a recipe's keys, given by name
    path: str,
    outputs: list[str] | dict[str, str] | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    layout: Layout = "NCHW",
    order: Order = "RGB",
    gives: Gives = "logits",
    columns: list[int] | None = None,
    classes: list[str] | None = None,
) -> nn.Module:
    """Read an ONNX file as a frozen teacher, which onnxruntime runs on the CPU.

    A file of a fixed batch size is given its batches, the last one filled up. Every output of the
    file, by its name there, is tapped as ``teacher@graph:NAME``. It uses as many threads as torch.

    Args:
        path: An ``.onnx`` file; weights that it keeps in other files lie in its folder or below.
        outputs: What the teacher gives: names of the file's outputs, where one alone is the logits,
            or names of the task's with those of the file, as in ``{logits: output_0}``. None: the
            only output of the file, or the one called ``logits``, as logits.
        mean: Of each channel, for images in 0..1. None for 0. A file that takes ``uint8`` is given
            0..255; one that takes floats in 0..255 wants a mean of 0 and a std of 1/255.
        std: Of each channel; None for 1, as files of ``distill export`` want it.
        layout: Whether channels come before or after height and width.
        order: Whether red or blue is the first channel. Grey images are repeated for all channels;
            ``mean`` and ``std`` then have one number.
        gives: Of ``probabilities``, as behind a softmax, the logarithms are taken as logits.
        columns: Which of the file's classes the data's are, in the order of the data's. Others are
            left out, so a softmax is over those that are kept.
        classes: The same by name, for files with a line for each class in the metadata
            ``character``, as those of PP-OCR's recognisers; an empty name is CTC's blank, column 0.

    Raises:
        ValueError: If onnxruntime is missing, the file is missing, damaged or does not take images,
            or has no such output or class.

    Example:
        >>> onnx_model("nowhere.onnx")
        Traceback (most recent call last):
        ValueError: no such file: nowhere.onnx
    """
    graph = OnnxGraph(Path(path), layout, order)
    if columns is not None and classes is not None:
        raise ValueError("columns and classes say the same, give one of them")
    if classes is not None:
        columns = _columns(graph, classes)
    if columns is not None and (not columns or min(columns) < 0):
        raise ValueError(f"columns must be numbers of at least 0, got {columns}")
    teacher = OnnxTeacher(graph, _outputs(graph, outputs), columns, gives)
    teacher.input_normalization = _normalization(graph, mean, std)  # type: ignore[assignment]
    return teacher.eval()


def _image(tensor: OnnxTensor, layout: Layout) -> tuple[tuple[int | None, int | None], int | None]:
    """The size (h, w) and the channels of the images that a file takes; None: any."""
    places = (2, 3, 1) if layout == "NCHW" else (1, 2, 3)
    height, width, channels = (
        side if isinstance(side := tensor.shape[place], int) else None for place in places
    )
    return (height, width), channels


def _outputs(graph: OnnxGraph, asked: list[str] | dict[str, str] | None) -> dict[str, str]:
    if asked is None:
        if len(graph.names) != 1 and LOGITS not in graph.names:
            names = ", ".join(graph.names) or "no tensor"
            raise ValueError(f"outputs must say which are the logits, {graph.path} gives {names}")
        return {LOGITS: LOGITS if LOGITS in graph.names else graph.names[0]}
    if isinstance(asked, list):
        asked = {LOGITS: asked[0]} if len(asked) == 1 else {name: name for name in asked}
    if not asked:
        raise ValueError("outputs must name one of the file's outputs, got none")
    for name in asked.values():
        if name not in graph.names:
            told = f"{graph.path} has no output {name!r}{nearest(name, graph.names)}"
            raise ValueError(f"{told}; it gives {', '.join(graph.names)}")
    return dict(asked)


def _normalization(
    graph: OnnxGraph, mean: list[float] | None, std: list[float] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    channels = len(mean or std or ()) or graph.channels
    if channels is None:
        raise ValueError(f"mean and std are needed: {graph.path} does not say how many channels")
    mean, std = mean or [0.0] * channels, std or [1.0] * channels
    if not len(mean) == len(std) == channels or min(std) <= 0:
        raise ValueError(f"mean and std must be of the same channels, std positive: {mean}, {std}")
    if graph.channels not in (None, channels) and channels != 1:
        raise ValueError(f"{graph.path} takes {graph.channels} channels, mean has {channels}")
    return tuple(mean), tuple(std)


def _columns(graph: OnnxGraph, classes: list[str]) -> list[int]:
    """The columns of classes by name; those of a CTC recogniser begin with the blank."""
    listed = metadata_of(graph.path, graph.sha256).get("character")
    if listed is None:
        raise ValueError(f"{graph.path} does not name its classes: give their columns")
    # PP-OCR's files end with a space that the list leaves out.
    known = {name: at for at, name in enumerate(["", *listed.removesuffix("\n").split("\n"), " "])}
    for name in classes:
        if name not in known:
            raise ValueError(f"{graph.path} has no class {name!r}")
    return [known[name] for name in classes]
