"""A teacher from the run that trained it."""

import json
import math
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from torch import nn

from distill.core.class_paths import resolve
from distill.core.echo import short, shown
from distill.core.files import sha256
from distill.core.initial_weights import finished_files, student_of
from distill.core.trust import TRUSTED, further
from distill.core.walk import Walk
from teachers.weights import load_exactly, read_tensors

_ABOVE: ContextVar[tuple[Path, ...]] = ContextVar("runs that are being read", default=())


def from_run(run_dir: str) -> nn.Module:
    """The trained student of a finished run, as a teacher.

    The network is built as the run's ``config.yaml`` says and filled from its
    ``student.safetensors``; it carries what its ``result.json`` says it was trained with: the
    ``input_normalization``, and the names of the classes as ``trained_classes``. What it is built
    of must come from the toolkit's packages, or from those that the command trusts that builds the
    teacher (``--trust``; in Python ``distill.core.trust.trusting``).

    Args:
        run_dir: What ``distill fit`` left behind, or a folder with one such run in it, as
            ``distill fit`` without ``--run_dir`` makes it.

    Raises:
        ValueError: If there is no finished run, if its recipe names something other than a network
            of a trusted package, or if its weights do not match that network or the hash that
            ``result.json`` has of them.

    Example:
        >>> from_run("runs/none")
        Traceback (most recent call last):
        ValueError: no run at runs/none: train it first with `distill fit ... --run_dir runs/none`
    """
    config, weights, result = finished_files(run_dir)
    above = _ABOVE.get()
    if config.resolve() in above:
        raise ValueError(f"{config}: the run names itself as its network, by way of its teachers")
    token = _ABOVE.set((*above, config.resolve()))
    try:
        network = _network(config)
    finally:
        _ABOVE.reset(token)
    facts = _facts(result)
    if _entry(facts, "sha256", weights.name) not in (None, sha256(weights)):
        raise ValueError(f"{weights} is damaged: it does not match its hash in {result.name}")
    load_exactly(network, read_tensors(weights), str(weights))
    normalization = _normalization(result, facts.get("normalization"))
    if normalization is not None:
        network.input_normalization = normalization  # type: ignore[assignment]
    classes = _entry(facts, "dataset", "classes")
    if isinstance(classes, list) and all(isinstance(name, str) for name in classes):
        network.trained_classes = tuple(classes)  # type: ignore[assignment]
    return network


def _network(config: Path) -> nn.Module:
    """The student that a run's recipe names, checked as a recipe's own parts are, and built."""
    spec = student_of(config)
    trusted = (*TRUSTED, *further())
    Walk(trusted).visit(f"{config}: model.init_args.student", spec, nn.Module)
    return _build(str(config), spec, trusted)


def _facts(result: Path) -> dict[str, Any]:
    try:
        found = json.loads(result.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{result} cannot be read: {short(str(error), 200)}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{result} is not the result of a run")
    return found


def _entry(facts: dict[str, Any], section: str, name: str) -> object:
    """What a section of a result says, None if it does not."""
    found = facts.get(section)
    return found.get(name) if isinstance(found, dict) else None


def _normalization(
    result: Path, found: object
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if found is None:
        return None
    try:
        if not isinstance(found, dict):
            raise TypeError
        mean, std = ([float(value) for value in found[name]] for name in ("mean", "std"))
        if all(map(math.isfinite, mean + std)) and min(std) > 0 and len(mean) == len(std):
            return tuple(mean), tuple(std)
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{result} holds no readable normalization")


def _build(config: str, spec: str | Mapping[str, Any], trusted: tuple[str, ...]) -> nn.Module:
    """Build what a checked class path and its arguments name; arguments may be such specs."""
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    path, arguments = spec["class_path"], spec.get("init_args") or {}
    make = resolve(config, path, trusted)
    built = {name: _argument(config, value, trusted) for name, value in arguments.items()}
    try:
        network: nn.Module = make(**built)
    except ValueError:
        raise
    except Exception as error:  # whatever the constructor of a network may raise
        told = f"{config}: {path} cannot be built from {shown(arguments)}"
        raise ValueError(f"{told}: {short(str(error), 200)}") from error
    return network


def _argument(config: str, value: object, trusted: tuple[str, ...]) -> object:
    if isinstance(value, Mapping):
        if "class_path" in value:
            return _build(config, value, trusted)
        return {name: _argument(config, item, trusted) for name, item in value.items()}
    return (
        [_argument(config, item, trusted) for item in value] if isinstance(value, list) else value
    )
