"""Weights from files: read as data, and every tensor must match."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

_PREFIXES = ("module.", "model.", "student.", "network.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a torch checkpoint, without executing anything.

    Args:
        path: A ``.safetensors`` file, or one that ``torch.save`` wrote: a state dict, or a mapping
            that holds one under ``state_dict`` or ``model``.

    Raises:
        ValueError: If the file is missing, damaged, or holds more than data.
    """
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError) as error:
        problem = str(error).strip().splitlines()[0]
        raise ValueError(f"cannot read weights from {path}: {problem}") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not tensors by name")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if len(tensors) != len(content) or not tensors:
        raise ValueError(f"{path} does not hold tensors by name alone")
    return tensors


def load_exactly(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a network with tensors of the same names and shapes, all of them.

    Args:
        network: Filled in place.
        tensors: By name; a prefix that all names share (``module.``, ``model.``, ``student.``) is
            taken off.
        source: What to call the tensors in a message.

    Raises:
        ValueError: Listing what is missing, unexpected or of another shape.
    """
    tensors = _without_prefix(tensors)
    own = network.state_dict()
    shapes = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    problems = {
        "missing": [name for name in own if name not in tensors],
        "unexpected": [name for name in tensors if name not in own],
        "of another shape": shapes,
    }
    told = [f"{len(found)} {kind}: {_first(found)}" for kind, found in problems.items() if found]
    if told:
        matching = len(own.keys() & tensors.keys()) - len(shapes)
        share = f"{matching} of {len(own)} tensors match {type(network).__name__}"
        raise ValueError(f"{source}: {share}; {'; '.join(told)}")
    network.load_state_dict(dict(tensors))


def _without_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _first(names: list[str], most: int = 3) -> str:
    more = f", ... ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
