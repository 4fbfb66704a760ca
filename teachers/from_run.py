"""A teacher from the run that trained it."""

import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from teachers.weights import load_exactly, read_tensors

_TRUSTED = ("distill", "teachers", "students", "torch", "torchvision", "timm")


def from_run(run_dir: str) -> nn.Module:
    """The trained student of a finished run, as a teacher.

    The network is built as the run's ``config.yaml`` says and filled from its
    ``student.safetensors``; it carries the ``input_normalization`` that it was trained with.

    Args:
        run_dir: What ``distill fit`` left behind.

    Raises:
        ValueError: If there is no finished run, or its weights do not match its recipe.
    """
    folder = Path(run_dir)
    files = [folder / name for name in ("config.yaml", "student.safetensors", "result.json")]
    if not all(file.is_file() for file in files):
        raise ValueError(
            f"run_dir {run_dir} is no finished run: train it with distill fit ... --run_dir {run_dir}"
        )
    config, weights, result = files
    recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
    network = _build(recipe["model"]["init_args"]["student"])
    load_exactly(network, read_tensors(weights), str(weights))
    normalization = json.loads(result.read_text(encoding="utf-8")).get("normalization")
    if normalization:
        mean, std = tuple(normalization["mean"]), tuple(normalization["std"])
        network.input_normalization = (mean, std)  # type: ignore[assignment]
    return network


def _build(spec: str | Mapping[str, Any]) -> nn.Module:
    """Build what a class path and its arguments name; arguments may be such specs themselves."""
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    path = spec["class_path"]
    if path.split(".")[0] not in _TRUSTED:
        raise ValueError(f"{path} is outside the trusted packages ({', '.join(_TRUSTED)})")
    module, _, name = path.rpartition(".")
    target = getattr(importlib.import_module(module), name)
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        raise ValueError(f"{path} is neither a class nor a function")
    arguments = {key: _argument(value) for key, value in (spec.get("init_args") or {}).items()}
    network = target(**arguments)
    if not isinstance(network, nn.Module):
        raise ValueError(f"{path} gives a {type(network).__name__}, not a network")
    return network


def _argument(value: object) -> object:
    if isinstance(value, Mapping) and "class_path" in value:
        return _build(value)
    return [_argument(item) for item in value] if isinstance(value, list) else value
