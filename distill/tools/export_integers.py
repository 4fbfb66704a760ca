"""A quantised student as an ONNX file of integers, measured beside float32."""

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from distill.compress.onnx_file import convolutions, store
from distill.compress.qdq import in_float, with_integers

FILE = "export.json"
_EXACT = {2: 2e-3, 4: 2e-3, 8: 2e-2}
"""By bits: how far single roundings may bring the file from the student, of the largest value."""
_FUSED, _ROUNDS, _BATCHES = 0.1, 15, (1, 32)
_Off = Callable[[Callable[[Tensor], Any]], float]


def write_integers(
    program: nn.Module, names: tuple[str, ...], image: Tensor, path: Path, described: str, off: _Off
) -> dict[str, Any]:
    """Write a quantised program as integers, compare it with the program, and measure it.

    Args:
        program: In evaluation mode, on the CPU.
        names: Of its outputs.
        image: Two images for it.
        path: The file.
        described: How an image becomes its input.
        off: How far what a file computes is from the program.

    Returns:
        ``bits`` of weights, ``bytes``, how many ``convolutions`` run in integers, how far the file
        is ``off`` before and after the runtime fuses it, and ``latency_ms`` beside float32.

    Raises:
        ValueError: If the file says something else than the program.
    """
    network, bits = with_integers(program, image)
    least = min(bits.values())
    told = None
    try:
        _write(network, names, image, path, described, bits)
        unfused = off(_reader(path, fuse=False))
    except Exception as error:
        if least > 2:
            raise
        told = f"this onnxruntime takes no INT2, the file has INT4: {str(error)[:100]}"
        _write(network, names, image, path, described, bits, 4)
        unfused = off(_reader(path, fuse=False))
    if not unfused <= _EXACT[next(size for size in _EXACT if size >= least)]:
        raise ValueError(f"the integer file is off by {unfused:.1g} of the largest value")
    fused = off(_reader(path, fuse=True))
    plain = path.with_name(f"{path.stem}.float{path.suffix}")
    try:
        _write(in_float(program), names, image, plain, described, {})
        latency, sizes = _latency({"float32": plain, "integer": path}, image), plain.stat().st_size
    finally:
        plain.unlink(missing_ok=True)
    whole, of = convolutions(path)
    return {
        "bits": {"least": least, "most": max(bits.values())},
        "bytes": {"integer": path.stat().st_size, "float32": sizes},
        "convolutions": {"integer": whole, "of": of},
        "off": {"unfused": unfused, "fused": fused},
        "latency_ms": latency,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "runtime": f"onnxruntime {version('onnxruntime')}",
        "notes": [note for note in (told, _on_floats(whole, of), _on_fusing(fused)) if note],
    }


def print_integers(console: Console, facts: Mapping[str, Any]) -> None:
    """Print what was measured, and what to mind."""
    done, taken = facts["convolutions"], facts["latency_ms"]
    times = [
        f"{taken['integer'][n]:.2f} of {taken['float32'][n]:.2f} ms at {n}" for n in ("1", "32")
    ]
    smaller = facts["bytes"]["float32"] / facts["bytes"]["integer"]
    console.print(
        f"integer  {done['integer']} of {done['of']} convolutions; {', '.join(times)}; "
        f"{smaller:.1f} times smaller than float32",
        highlight=False,
        soft_wrap=True,
    )
    for note in facts["notes"]:
        console.print(f"warning  {note}", highlight=False, soft_wrap=True)


def _on_floats(whole: int, of: int) -> str | None:
    told = f"{of - whole} of {of} convolutions run in float: quantise what they read (sums, skip)"
    return told if whole < of else None


def _on_fusing(fused: float) -> str | None:
    told = "the runtime's own roundings move outputs: test the file's accuracy before you use it"
    return told if fused > _FUSED else None


def _write(
    network: nn.Module,
    names: tuple[str, ...],
    image: Tensor,
    path: Path,
    described: str,
    bits: dict[str, int],
    least: int = 2,
) -> None:
    exported = torch.onnx.export(
        network,
        (image,),
        input_names=["image"],
        output_names=list(names),
        dynamic_shapes={"image": {0: torch.export.Dim("b")}},
        dynamo=True,
        verbose=False,
        opset_version=21,
    )
    if exported is None:
        raise RuntimeError("torch gave no program")
    model = exported.model_proto
    store(model, bits, least)
    model.metadata_props.add(key="preprocess", value=described)
    path.write_bytes(model.SerializeToString())


def _session(path: Path, fuse: bool = True) -> Any:  # noqa: ANN401 - onnxruntime's
    from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    if not fuse:
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    return InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _reader(path: Path, fuse: bool) -> Callable[[Tensor], tuple[Tensor, ...]]:
    session = _session(path, fuse)

    def run(image: Tensor) -> tuple[Tensor, ...]:
        found = session.run(None, {"image": image.numpy()})
        return tuple(torch.from_numpy(value) for value in found)

    return run


def _latency(files: dict[str, Path], image: Tensor) -> dict[str, dict[str, float]]:
    """The medians of each file per batch size, in turns, after a round to warm up."""
    sessions = {name: _session(path) for name, path in files.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in files}
    for size in _BATCHES:
        given = {"image": image[:1].repeat(size, 1, 1, 1).numpy()}
        seconds: dict[str, list[float]] = {name: [] for name in files}
        for _ in range(_ROUNDS + 1):
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run(None, given)
                seconds[name].append(time.perf_counter() - started)
        for name, measured in seconds.items():
            found[name][str(size)] = round(1000 * median(measured[1:]), 4)
    return found
