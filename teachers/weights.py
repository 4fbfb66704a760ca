"""Weights from files: read as data, and every tensor must match."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

_PREFIXES = ("module.", "model.", "student.")


def read_tensors(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a torch checkpoint, without executing anything.

    Args:
        path: A ``.safetensors`` file, or one that ``torch.save`` wrote: a state dict, or a mapping
            that holds one.
        key: The entry that holds it; None where the file is one or has it under ``state_dict`` or
            ``model``.

    Raises:
        ValueError: If the file is missing, damaged, or holds more than data.
    """
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    content = _entry(_read(path), key, path)
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds a {type(content).__name__}, not tensors by name")
    odd = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise ValueError(f"{path} holds more than tensors by name: {_first(odd)}")
    return {str(name): value for name, value in content.items()}


def load_exactly(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a network with tensors of the same names and shapes, all of them.

    Args:
        network: Filled in place, or not touched at all.
        tensors: By name; a prefix that all names share (``module.``, ``model.``, ``student.``) and
            the network's do not is taken off.
        source: What to call the tensors in a message.

    Raises:
        ValueError: Listing what is missing, unexpected or of another shape.
    """
    own = network.state_dict()
    tensors = _without_prefix(tensors, own)
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


def _read(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise a dozen kinds
        # torch's own text is left out: it advises to load the file unsafely.
        told = "is damaged, or holds more than plain tensors, so it was not loaded"
        raise ValueError(f"{path} {told} ({type(error).__name__})") from error


def _entry(content: Any, key: str | None, path: Path) -> Any:  # noqa: ANN401
    entries = content if isinstance(content, Mapping) else {}
    if key is not None:
        if key not in entries:
            raise ValueError(f"key {key!r} is not in {path}, which holds {_first(list(entries))}")
        return entries[key]
    usual = [name for name in ("state_dict", "model") if isinstance(entries.get(name), Mapping)]
    return entries[usual[0]] if usual else content


def _without_prefix(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    for prefix in _PREFIXES:
        shared = all(name.startswith(prefix) for name in tensors)
        if shared and not all(name.startswith(prefix) for name in own):
            return {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _first(names: list[str], most: int = 3) -> str:
    more = f", ... ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
