"""A teacher from the run that trained it."""

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import yaml
from torch import nn

from distill.core.trust import TRUSTED, further
from teachers.weights import load_exactly, read_tensors


def from_run(run_dir: str) -> nn.Module:
    """The trained student of a finished run, as a teacher.

    The network is built as the run's ``config.yaml`` says and filled from its
    ``student.safetensors``; it carries the ``input_normalization`` that its ``result.json`` says it
    was trained with. What it is built of must come from the toolkit's packages, or from those that
    the command trusts that builds the teacher (``--trust``; in Python
    ``distill.core.trust.trusting``).

    Args:
        run_dir: What ``distill fit`` left behind.

    Raises:
        ValueError: If there is no finished run, if its recipe names something other than a network
            of a trusted package, or if its weights do not match that network.

    Example:
        >>> from_run("runs/none")
        Traceback (most recent call last):
        ValueError: no run at runs/none: train it first with `distill fit ... --run_dir runs/none`
    """
    config, weights, result = _files(run_dir)
    network = _build(_student(config))
    load_exactly(network, read_tensors(weights), str(weights))
    normalization = _normalization(result)
    if normalization is not None:
        network.input_normalization = normalization  # type: ignore[assignment]
    return network


def _files(run_dir: str) -> list[Path]:
    folder, command = Path(run_dir), f"`distill fit ... --run_dir {run_dir}`"
    if not folder.is_dir():
        raise ValueError(f"no run at {run_dir}: train it first with {command}")
    files = [folder / name for name in ("config.yaml", "student.safetensors", "result.json")]
    for file in files:
        if not file.is_file():
            told = f"no finished run at {run_dir}, which has no {file.name}"
            raise ValueError(f"{told}: train it first with {command}")
    return files


def _student(config: Path) -> object:
    try:
        recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
        return recipe["model"]["init_args"]["student"]
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{config} names no model.init_args.student") from error


def _normalization(result: Path) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    try:
        found = json.loads(result.read_text(encoding="utf-8")).get("normalization")
        return found and (tuple(map(float, found["mean"])), tuple(map(float, found["std"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{result} holds no readable normalization") from error


def _build(spec: object) -> nn.Module:
    """Build what a class path and its arguments name; arguments may be such specs themselves."""
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    if not isinstance(spec, Mapping) or not isinstance(spec.get("class_path"), str):
        raise ValueError(f"a network needs a class_path, got {spec!r}")
    path, arguments = spec["class_path"], spec.get("init_args") or {}
    make = _resolve(path)
    try:
        return make(**{name: _argument(value) for name, value in arguments.items()})
    except TypeError as error:
        raise ValueError(f"{path} cannot be built from {arguments}: {error}") from error


def _argument(value: object) -> object:
    if isinstance(value, Mapping):
        if "class_path" in value:
            return _build(value)
        return {name: _argument(item) for name, item in value.items()}
    return [_argument(item) for item in value] if isinstance(value, list) else value


def _resolve(path: str) -> Callable[..., nn.Module]:
    trusted = (*TRUSTED, *further())
    if path.split(".")[0] not in trusted:
        known = ", ".join(trusted)
        raise ValueError(f"{path} is outside the trusted packages ({known}); see --trust")
    module, _, name = path.rpartition(".")
    try:
        target = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} cannot be imported: {error}") from error
    # Said by the annotation, before the call: torch.load is a function of a trusted package too.
    gives = _returned(target) if inspect.isfunction(target) else target
    if not (inspect.isclass(gives) and issubclass(gives, nn.Module)):
        raise ValueError(f"{path} is neither a network nor a function annotated to return one")
    return cast(Callable[..., nn.Module], target)


def _returned(function: Callable[..., object]) -> object:
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, AttributeError, TypeError):  # some are for type checkers alone
        signature = inspect.signature(function)
    return signature.return_annotation
