"""A finished run's student as one file that runs without this toolkit: ``distill export``."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from distill.core.errors import RecipeError
from distill.core.randomness import fold, uniform
from distill.recipes import Recipe
from distill.recipes.stages import last_stage
from distill.runs.directory import load_weights, read_finished
from distill.runs.result import Result
from distill.runs.session import Session, quiet_lightning

_Network = Callable[[Tensor], Tensor]
_Writer = Callable[[nn.Module, Tensor, Path], None]
_Reader = Callable[[Path], _Network]
_TOLERANCE = 1e-3
_DOWNLOADING = {
    "students.timm_model": ("pretrained", False),
    "students.torchvision_model": ("weights", None),
}
_ANY_BATCH = {"image": {0: torch.export.Dim("b")}}


class Deployed(nn.Module):
    """A student with its normalisation inside.

    Args:
        student: Maps normalised images (b, c, h, w) to logits.
        mean: Of each channel, for images in 0..1.
        std: Of each channel.

    Example:
        >>> halved = Deployed(nn.Flatten(), mean=[0.0], std=[2.0])
        >>> halved(torch.ones(1, 1, 1, 2))
        tensor([[0.5000, 0.5000]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, student: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.student = student
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) for float32 images (b, c, h, w) in 0..1."""
        logits: Tensor = self.student((image - self.mean) / self.std)
        return logits


@torch.no_grad()
def export(
    run_dir: Path,
    out: Path | None = None,
    trusted: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """Write a finished run's student as one file, and compare what the file says with it.

    The file maps ``image``, float32 (b, c, h, w) in 0..1, to ``logits`` (b, k), whatever b is; the
    normalisation is inside, c, h and w are those of the run's images, and the k classes are those
    of its ``result.json``; for text lines logits are (b, t, k), for lines as wide as the run's.
    Neither the images nor the teacher are needed (but SimKD's, whose classifier is in the student),
    and the weights are float32 whatever precision the run had.

    Args:
        run_dir: The run.
        out: The file: ``.onnx`` for ONNX, ``.pt2`` for a program of ``torch.export``. None:
            ``student.onnx`` in the run's directory.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Returns:
        The file.

    Raises:
        RecipeError: If there is no finished run, the file has another ending, packages are missing,
            or the student cannot be exported. A file that was there before is then left alone.
    """
    out = out or run_dir / "student.onnx"
    write, read = _format(out)
    recipe, result = read_finished(run_dir)
    if "shape" not in result["dataset"]:
        told = "does not say the images' shape: an earlier version wrote it"
        raise RecipeError(str(run_dir / "result.json"), told)
    student = trained_student(last_stage(recipe), run_dir, trusted)
    program = Deployed(student, **result["normalization"]).eval()
    image = _images(3, result["dataset"]["shape"])
    temporary = out.with_name(f"{out.stem}.tmp{out.suffix}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with quiet_lightning(), export_errors(run_dir):
            write(program, image[:2], temporary)
            off = max(_off(program, read(temporary), image[:n]) for n in (1, 3))
        if not off <= _TOLERANCE:
            raise RecipeError(str(run_dir), f"the file's logits are off by {off:.1g} of their size")
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    _print_summary(console or Console(), out, result, off)
    return out


def _format(path: Path) -> tuple[_Writer, _Reader]:
    if path.is_dir():
        raise RecipeError("--out", f"must be a file, {path} is a folder")
    if path.suffix == ".pt2":
        return _write_pt2, _read_pt2
    if path.suffix != ".onnx":
        raise RecipeError("--out", f"must end in .onnx or .pt2, got {path}")
    for package in ("onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            needed = f"needs {package}: pip install 'distill[export]', or --out FILE.pt2"
            raise RecipeError("distill export", needed)
    return _write_onnx, _read_onnx


def trained_student(recipe: Recipe, run_dir: Path, trusted: Sequence[str]) -> nn.Module:
    """A run's trained student, built without its teacher and its data.

    Args:
        recipe: The run's; of several stages, the last one's.
        run_dir: The run.
        trusted: Further packages whose classes the recipe may name.

    Raises:
        RecipeError: If it cannot be built, or its weights do not fit.
    """
    student = _untrained(recipe.get("model.student"))
    alone = {"teacher": None, "student": student, "losses": {}}
    model = {"class_path": "distill.modules.Distillation", "init_args": alone}
    session = Session(Recipe({"model": model, "data": recipe.get("data")}), run_dir, trusted)
    network = session.model.student
    load_weights(network, run_dir / "student.safetensors")
    return network.float()


def _untrained(spec: Any) -> Any:  # noqa: ANN401 - any value of a recipe
    """A network's part of a recipe, without weights to begin with that would be downloaded."""
    if not isinstance(spec, dict):
        return spec
    spec = {key: _untrained(value) for key, value in spec.items()}
    if spec.get("class_path") in _DOWNLOADING:
        name, none = _DOWNLOADING[spec["class_path"]]
        spec["init_args"][name] = none
    return spec


def _images(n: int, shape: Sequence[int]) -> Tensor:
    pixels = torch.Size(shape).numel()
    return uniform(fold("export"), torch.arange(n), pixels).view(n, *shape)


def _write_onnx(program: nn.Module, image: Tensor, path: Path) -> None:
    torch.onnx.export(
        program,
        (image,),
        path,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=_ANY_BATCH,
        external_data=False,
        verbose=False,
    )


def _read_onnx(path: Path) -> _Network:
    from onnxruntime import InferenceSession  # an optional package

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {"image": image.numpy()})[0])


def _write_pt2(program: nn.Module, image: Tensor, path: Path) -> None:
    exported = torch.export.export(program, (image,), dynamic_shapes=_ANY_BATCH)
    torch.export.save(exported, path)


def _read_pt2(path: Path) -> _Network:
    return torch.export.load(path).module()


def _off(program: nn.Module, written: _Network, image: Tensor) -> float:
    """The largest difference of any logit, as a share of the largest logit."""
    expected = program(image)
    gap = (written(image) - expected).abs().max()
    return float(gap / expected.abs().max().clamp_min(torch.finfo(gap.dtype).tiny))


@contextmanager
def export_errors(run_dir: Path) -> Iterator[None]:
    """Tell what a tracer cannot follow in one line."""
    try:
        yield
    except Exception as error:  # of torch's exporter, or of ONNX's runtime
        problem = " ".join(str(error).split())[:300]
        raise RecipeError(str(run_dir), f"the student cannot be exported: {problem}") from error


def _print_summary(console: Console, out: Path, result: Result, off: float) -> None:
    data = result["dataset"]
    shape = ", ".join(str(n) for n in data["shape"])
    for line in (
        f"input    image: float32 (b, {shape}) in 0..1; the normalisation is inside",
        f"output   logits: {len(data['classes'])} classes; off by {off:.1e} of the largest",
        f"file     {out}: {out.stat().st_size / 1e6:.2f} MB",
    ):
        console.print(line, highlight=False, soft_wrap=True)
