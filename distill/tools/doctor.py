"""What this machine has for training: versions, devices, disk, W&B, optional packages."""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch

from distill import __version__
from distill.runs.wandb.connection import wandb_state

_NEEDED = ("torch", "torchvision", "pytorch-lightning", "timm", "jsonargparse", "wandb")
_OPTIONAL = {
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "parquet": ("pyarrow",),
    "report": ("matplotlib", "jinja2"),
    "sweep": ("optuna",),
    "ray": ("ray",),
    "loggers": ("tensorboard", "mlflow"),
    "shells": ("shtab",),
}
"""Packages that are found by the name they are imported with, by what needs them."""
_TRIAL_S = 0.1


def doctor(folder: Path) -> Iterator[str]:
    """Tell, in lines, what this machine has; nothing is written.

    Args:
        folder: Where runs would go.
    """
    yield f"distill  {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield f"with     {', '.join(f'{name} {_version(name)}' for name in _NEEDED)}"
    yield from _devices()
    yield f"disk     {_free(folder)}"
    yield f"W&B      {wandb_state()}"
    for use, packages in _OPTIONAL.items():
        told = (n if find_spec(n) is not None else f"{n} is not installed" for n in packages)
        yield f"{use:8} {', '.join(told)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is missing"


def _devices() -> Iterator[str]:
    names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    for number, name in enumerate(names):
        memory = torch.cuda.get_device_properties(number).total_memory / 2**30
        yield f"device   cuda:{number}, {name}, {memory:.0f} GiB; {_bf16(f'cuda:{number}')}"
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    yield f"device   cpu, {cores}; {_bf16('cpu')}"
    if torch.backends.mps.is_available():
        yield "device   mps"


def _bf16(device: str) -> str:
    """Whether a device computes in bf16, and what that gains in a product of matrices."""
    if device != "cpu" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "no bf16"
    try:
        ratio = _speed(device, torch.bfloat16) / _speed(device, torch.float32)
    except RuntimeError as error:
        return f"no bf16 ({str(error).splitlines()[0]})"
    advice = "use it" if ratio > 1.1 else "use 32-true"
    return f"bf16 is {ratio:.1f} times as fast as float32 here: {advice}"


def _speed(device: str, dtype: torch.dtype) -> float:
    """Products of two matrices per second."""
    matrix = torch.ones(256, 256, device=device, dtype=dtype)
    _multiply(matrix, 2)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < _TRIAL_S:
        done += _multiply(matrix, 4)
    return done / (time.perf_counter() - started)


def _multiply(matrix: torch.Tensor, times: int) -> int:
    for _ in range(times):
        product = matrix @ matrix
    product.sum().item()  # waits for the device
    return times


def _free(folder: Path) -> str:
    there = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    try:
        free = shutil.disk_usage(there).free / 2**30
    except OSError as error:
        return f"cannot be asked: {error.strerror}"
    writable = "" if os.access(there, os.W_OK) else ", where nothing may be written"
    return f"{free:.1f} GiB free for {folder}{writable}"
