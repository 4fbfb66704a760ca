"""A finished run's student as one file that runs without this toolkit: ``distill export``."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from distill.compress.cost import is_quantized
from distill.core.errors import RecipeError
from distill.core.files import write_bytes, write_json
from distill.core.outputs import LOGITS, by_name
from distill.core.preprocessing import FILE as PREPROCESS
from distill.core.randomness import fold, uniform
from distill.runs.directory import read_finished
from distill.runs.result import Result
from distill.runs.session import quiet_lightning
from distill.tasks import Tells
from distill.tools.export_integers import FILE as MEASURED
from distill.tools.export_integers import print_integers, write_integers
from distill.tools.snippet import FILE as SNIPPET
from distill.tools.snippet import snippet
from distill.tools.student import open_student

_Given = Tensor | tuple[Tensor, ...]
_Network = Callable[[Tensor], _Given]
_Writer = Callable[["Exported", Tensor, Path, str], None]
_Reader = Callable[[Path], _Network]
_TOLERANCE, _LEAST = 1e-3, torch.finfo(torch.float32).tiny
_ANY_BATCH = {"image": {0: torch.export.Dim("b")}}


class Exported(nn.Module):
    """A student that gives some of its outputs, in order.

    Args:
        network: Maps images to a tensor, or to tensors by name.
        names: Of the outputs.
    """

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, image: Tensor) -> _Given:
        """The outputs for float32 images (b, c, h, w) in 0..1; one alone is no tuple."""
        found = by_name(self.network(image), alone=self.names[0])
        several = tuple(found[name] for name in self.names)
        return several if len(several) > 1 else several[0]


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
    of its ``result.json``; for text lines logits are (b, t, k), for lines as wide as the run's, of
    segmenters (b, k, h, w). Detectors give ``scores`` (b, n, k) and ``boxes`` (b, n, 4), left, top,
    right and bottom in pixels, of n points: which of them repeat each other is left to the reader.
    Neither the images nor the teacher are needed (but SimKD's, whose classifier is in the student),
    and the weights are float32 whatever precision the run had. How an image becomes an input stands
    in the file: as ``preprocess`` in ONNX's metadata, as the extra file ``preprocess.json`` of a
    program. Beside an ONNX file a short program, ``run_onnx.py``, shows how it is run.

    Args:
        run_dir: The run.
        out: The file: ``.onnx`` for ONNX, ``.pt2`` for a program of ``torch.export``. None:
            ``student.onnx`` in the run's directory.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Returns:
        The file.

    An ONNX file of a quantised student computes in integers, see ``docs/compression.md``;
    ``export.json`` beside it tells what it was measured at beside float32.

    Raises:
        RecipeError: If there is no finished run, the file has another ending, packages are missing,
            or the student cannot be exported. A file that was there before is then left alone.
    """
    out = out or run_dir / "student.onnx"
    write, read = _format(out)
    _, result = read_finished(run_dir)
    if "shape" not in result["dataset"]:
        told = "does not say the images' shape: an earlier version wrote it"
        raise RecipeError(str(run_dir / "result.json"), told)
    trained = open_student(run_dir, trusted)
    task, described = trained.task, trained.preprocessing
    names = task.exported if isinstance(task, Tells) else (LOGITS,)
    program = Exported(trained.network, names).eval()
    image = _images(3, result["dataset"]["shape"])
    temporary = out.with_name(f"{out.stem}.tmp{out.suffix}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with quiet_lightning(), export_errors(run_dir):
            text = described.text(inside=True)
            facts: dict[str, Any] = {}
            if out.suffix == ".onnx" and is_quantized(program):
                compare = partial(_furthest, program, image)
                facts = write_integers(program, names, image[:2], temporary, text, compare)
                off = facts["off"]["unfused"]
            else:
                write(program, image[:2], temporary, text)
                off = _furthest(program, image, read(temporary))
        if not facts and not off <= _TOLERANCE:
            told = f"the file's {', '.join(names)} are off by {off:.1g} of their size"
            raise RecipeError(str(run_dir), told)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    console = console or Console()
    _print_summary(console, out, result, names, off)
    if facts:
        write_json(out.with_name(MEASURED), facts)
        print_integers(console, facts)
    if out.suffix == ".onnx":
        shown = out.with_name(SNIPPET)
        write_bytes(shown, snippet(out.name, described, task).encode())
        console.print(f"run      python {shown} IMAGE", highlight=False, soft_wrap=True)
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


def _images(n: int, shape: Sequence[int]) -> Tensor:
    pixels = torch.Size(shape).numel()
    return uniform(fold("export"), torch.arange(n), pixels).view(n, *shape)


def _write_onnx(program: Exported, image: Tensor, path: Path, described: str) -> None:
    exported = torch.onnx.export(
        program,
        (image,),
        input_names=["image"],
        output_names=list(program.names),
        dynamic_shapes=_ANY_BATCH,
        dynamo=True,
        verbose=False,
    )
    if exported is None:
        raise RuntimeError("torch gave no program")
    exported.model.metadata_props["preprocess"] = described
    exported.save(path, external_data=False)


def _read_onnx(path: Path) -> _Network:
    from onnxruntime import InferenceSession  # an optional package

    session = InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> tuple[Tensor, ...]:
        found = session.run(None, {"image": image.numpy()})
        return tuple(torch.from_numpy(value) for value in found)

    return run


def _write_pt2(program: Exported, image: Tensor, path: Path, described: str) -> None:
    exported = torch.export.export(program, (image,), dynamic_shapes=_ANY_BATCH)
    torch.export.save(exported, path, extra_files={PREPROCESS: described})


def _read_pt2(path: Path) -> _Network:
    return torch.export.load(path).module()


def _furthest(program: nn.Module, image: Tensor, written: _Network) -> float:
    return max(_off(program, written, image[:n]) for n in (1, 3))


def _off(program: nn.Module, written: _Network, image: Tensor) -> float:
    """The largest difference in any output, as a share of that output's largest value."""
    pairs = zip(_several(program(image)), _several(written(image)), strict=True)
    return max(float((b - a).abs().max() / a.abs().max().clamp_min(_LEAST)) for a, b in pairs)


def _several(given: _Given) -> tuple[Tensor, ...]:
    return (given,) if isinstance(given, Tensor) else tuple(given)


@contextmanager
def export_errors(run_dir: Path) -> Iterator[None]:
    """Tell what a tracer cannot follow in one line."""
    try:
        yield
    except Exception as error:  # of torch's exporter, or of ONNX's runtime
        problem = " ".join(str(error).split())[:300]
        raise RecipeError(str(run_dir), f"the student cannot be exported: {problem}") from error


def _print_summary(
    console: Console, out: Path, result: Result, names: tuple[str, ...], off: float
) -> None:
    data = result["dataset"]
    shape, classes = ", ".join(str(n) for n in data["shape"]), len(data["classes"])
    for line in (
        f"input    image: float32 (b, {shape}) in 0..1; the normalisation is inside",
        f"output   {', '.join(names)}: {classes} classes; off by {off:.1e} of the largest",
        f"file     {out}: {out.stat().st_size / 1e6:.2f} MB",
    ):
        console.print(line, highlight=False, soft_wrap=True)
