"""Reads weights from files as data, and loads them where every tensor matches."""

import argparse
import pathlib
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

# Where training code keeps a state dict, and what wrappers and LightningModules put before names.
_ENTRIES = ("state_dict", "model", "model_state_dict", "network", "net", "module", "weights")
_PREFIXES = ("module.", "model.", "student.", "backbone.", "network.", "net.")
# Wrappers that stand anywhere in a name: of torch.compile, FSDP and activation checkpointing.
_INSIDE = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_DEEPEST = 4
_AVERAGED = "n_averaged"  # of torch.optim.swa_utils.AveragedModel, beside the weights
# Types that training code often saves beside the weights. Reading one of these sets attributes or
# joins the parts of a path, and calls nothing that is named in the file.
_PLAIN = (
    argparse.Namespace,
    types.SimpleNamespace,
    pathlib.PurePosixPath,
    pathlib.PosixPath,
)


def read_tensors(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file or of a torch checkpoint, without executing code.

    Args:
        path: A ``.safetensors`` file, or one that ``torch.save`` wrote: a state dict, or a mapping
            that holds one.
        key: The entry that holds it, dotted if it lies deeper; None where the file is one, has it
            under a usual name such as ``state_dict`` or ``model``, or holds a single one.

    Raises:
        ValueError: If the file is missing, damaged, or holds more than data.
    """
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    content = _read(path)
    content = _unwrapped(content) if key is None else _entry(content, key, path)
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds a {type(content).__name__}, not tensors by name")
    odd = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise ValueError(f"{path} holds more than tensors by name: {_first(odd)}")
    return {str(name): value for name, value in content.items()}


def load_exactly(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    prefix: str | None = None,
    leave_out: Sequence[str] = (),
) -> None:
    """Load tensors into a network; names and shapes must all match.

    Args:
        network: Filled in place, or not touched at all.
        tensors: By name.
        source: Names the tensors in messages.
        prefix: Take the names that begin with it, without it, and no others. None takes all, and
            takes off what wrappers add: ``module.``, ``model.``, ``student.``, ``backbone.``,
            ``network.``, ``net.``, also several, where all names have it and the network's do not;
            and ``_orig_mod.`` wherever it stands.
        leave_out: Names of layers or tensors that are not loaded; the network's keep their values.

    Raises:
        ValueError: Listing what is missing, unexpected or of another shape.
    """
    own = network.state_dict()
    kept = {name for name in own if _is_under(name, leave_out)}
    taken = _best(tensors, own) if prefix is None else _below(tensors, prefix, source)
    taken = {name: value for name, value in taken.items() if not _is_under(name, leave_out)}
    wanted = {name: value for name, value in own.items() if name not in kept}
    any_width = getattr(network, "widths_from_weights", False)  # of distill.compress
    shapes = [
        f"{name} {tuple(taken[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in taken and taken[name].shape != wanted[name].shape and not any_width
    ]
    problems = {
        "missing": [name for name in wanted if name not in taken],
        "unexpected": [name for name in taken if name not in wanted],
        "of another shape": shapes,
    }
    mismatches = [
        f"{len(found)} {kind}: {_first(found)}" for kind, found in problems.items() if found
    ]
    if mismatches:
        matching = len(wanted.keys() & taken.keys()) - len(shapes)
        share = f"{matching} of {len(wanted)} tensors match {type(network).__name__}"
        hint = "" if prefix is not None else _hint(tensors, wanted, matching)
        raise ValueError(f"{source}: {share}; {'; '.join(mismatches)}{hint}")
    try:
        network.load_state_dict({**{name: own[name] for name in kept}, **taken})
    except RuntimeError as error:  # widths that do not fit each other
        told = " ".join(str(error).split())
        raise ValueError(f"{source}: {told}") from error


def _read(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(list(_PLAIN)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise a dozen kinds
        # torch's own text is left out: it advises to load the file unsafely.
        foreign = re.search(r"GLOBAL (\w[\w.]*\.\w+) (?:was not|whose)", str(error))
        if foreign is None:
            message = "is damaged, or holds more than plain tensors, so it was not loaded"
            raise ValueError(f"{path} {message} ({type(error).__name__})") from error
        message = f"holds more than plain tensors, {foreign[1]}, so it was not loaded"
        advice = "save the weights alone: torch.save(network.state_dict(), FILE)"
        raise ValueError(f"{path} {message}; {advice}") from error


def _entry(content: Any, key: str, path: Path) -> Any:  # noqa: ANN401
    for part in [key] if isinstance(content, Mapping) and key in content else key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            there = _first(list(map(str, content if isinstance(content, Mapping) else [])))
            raise ValueError(f"key {key!r} is not in {path}, which holds {there}")
        content = content[part]
    return content


def _unwrapped(content: Any) -> Any:  # noqa: ANN401
    """Find the mapping of tensors by name: the content itself, or one under a usual name."""
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping) or _is_weights(content):
            break
        usual = [name for name in _ENTRIES if isinstance(content.get(name), Mapping)]
        single = [name for name, value in content.items() if _is_weights(value)]
        if not usual and len(single) != 1:
            return content
        content = content[usual[0] if usual else single[0]]
    return content


def _is_weights(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(tensor, Tensor) for tensor in value.values())
    )


def _best(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Choose the renaming with most of the network's names; of equals the first."""
    found = list(_renamed(tensors))
    return max(found, key=lambda named: len(named.keys() & own.keys()))


def _renamed(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors as they are, then without the prefixes that wrappers add."""
    yield dict(tensors)
    bare = {_INSIDE.sub("", name): value for name, value in tensors.items()}
    names = list(bare)
    if _AVERAGED in bare and len(bare) > 1:
        names.remove(_AVERAGED)
    yield bare
    while shared := [p for p in _PREFIXES if all(name.startswith(p) for name in names)]:
        bare = {name.removeprefix(shared[0]): bare[name] for name in names}
        names = list(bare)
        yield bare


def _below(tensors: Mapping[str, Tensor], prefix: str, source: str) -> dict[str, Tensor]:
    start = prefix if prefix.endswith(".") or not prefix else f"{prefix}."
    found = {n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)}
    if not found:
        raise ValueError(f"{source}: no name begins with {start!r}, but {_first(list(tensors))}")
    return found


def _hint(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], matching: int) -> str:
    """Suggest a prefix with which more names match, if there is one."""
    last = next(iter(own), "")
    prefixes = {n.removesuffix(last) for n in tensors if last and n.endswith(f".{last}")}
    for prefix in sorted(prefixes):
        under = {n.removeprefix(prefix) for n in tensors if n.startswith(prefix)}
        if len(under & own.keys()) > matching:
            return f"; with prefix {prefix!r} {len(under & own.keys())} names match"
    return ""


def _is_under(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _first(names: list[str], most: int = 3) -> str:
    more = f", ... ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
