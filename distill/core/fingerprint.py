"""What stored outputs depend on, as named fields that can be compared."""

import hashlib
import json
import sys
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor, nn

from distill.core.randomness import bits, fold

Fields = Mapping[str, str]
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
# Of objects of these packages only the class is told: devices, paths, locks, loggers, trainers.
_OPAQUE = {*sys.stdlib_module_names, "torch", "pytorch_lightning"}


def view_hash(images: Tensor) -> Tensor:
    """A 64-bit number per image that tells two different images apart.

    A sum of the image's bytes, eight at a time, each times an odd number that depends on its place:
    it always tells apart images that differ in one place, and others but for chance.

    Args:
        images: (b, ...), of any type and device.

    Returns:
        (b,), int64, on the device of the images.

    Example:
        >>> one, two, three = view_hash(torch.tensor([[1, 2], [1, 2], [2, 1]])).tolist()
        >>> one == two, one == three
        (True, False)
    """
    rows = images.contiguous().flatten(1).view(torch.uint8)
    rows = nn.functional.pad(rows, (0, -rows.shape[1] % 8)).view(torch.int64)
    salt = fold(str(images.dtype), *images.shape[1:])
    return (rows * _odd_numbers(rows.shape[1], rows.device)).sum(1) ^ salt


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """A SHA-256 of named tensors, in hexadecimal: of their bytes, types, shapes and names."""
    state = hashlib.sha256()
    for name, tensor in tensors.items():
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return state.hexdigest()


def module_fields(key: str, module: nn.Module) -> dict[str, str]:
    """The class of a module and all that it was made with, and of the modules inside it.

    That is what it keeps in attributes: numbers, texts, tensors, classes and functions (by name),
    modules, objects with attributes of their own, and containers of these. Hooks, training mode,
    devices and paths are left out.

    Args:
        key: What to call it, for instance ``data.augment.0``.
        module: Any; outputs that depend on nothing else are the same where the fields are.

    Example:
        >>> module_fields("data.augment.0", nn.Dropout(0.1))["data.augment.0.p"]
        '0.1'
    """
    return _fields(key, module, {})


def fingerprint(fields: Fields) -> str:
    """One SHA-256 of all fields, in hexadecimal."""
    return hashlib.sha256(json.dumps(dict(fields), sort_keys=True).encode()).hexdigest()


def difference(stored: Fields, wanted: Fields) -> str | None:
    """The first field that differs, in a sentence; None where all agree.

    Example:
        >>> difference({"data.seed": "0"}, {"data.seed": "1"})
        'data.seed was 0, is 1'
    """
    for name in sorted({*stored, *wanted}):
        old, new = stored.get(name, "not there"), wanted.get(name, "not there")
        if old != new:
            return f"{name} was {_short(old)}, is {_short(new)}"
    return None


@lru_cache(maxsize=8)
def _odd_numbers(n: int, device: torch.device) -> Tensor:
    return bits(fold("view hash"), n, device) | 1


def _class(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _fields(key: str, module: nn.Module, known: Mapping[int, str]) -> dict[str, str]:
    """The fields of a module; ``known`` names objects, by id, that are told elsewhere."""
    inside = module.named_modules(remove_duplicate=False)
    places = [(f"{key}.{name}" if name else key, inner) for name, inner in inside]
    names = {**known, **{id(inner): place for place, inner in places}}
    fields = {}
    for place, inner in places:
        fields[place] = _class(inner)
        own = {name: value for name, value in vars(inner).items() if name not in _OF_EVERY_MODULE}
        own |= inner.named_parameters(recurse=False, remove_duplicate=False)
        own |= inner.named_buffers(recurse=False, remove_duplicate=False)
        fields |= {f"{place}.{name}": _told(value, names) for name, value in own.items()}
    return fields


def _told(value: object, known: dict[int, str]) -> str:
    """A value as text that is the same in every process: no addresses, no order of a set."""
    if isinstance(value, Enum):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.dtype)):
        return repr(value)
    if isinstance(value, Tensor):
        return tensors_digest({"": value})
    if isinstance(name := getattr(value, "__qualname__", None), str):
        return f"{value.__module__}.{name}"
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = f"^{len(known)}"  # what is inside may lead back to it
    text = _inside(value, known)
    del known[id(value)]
    return text


def _inside(value: object, known: dict[int, str]) -> str:
    if isinstance(value, nn.Module):  # held in a list or another object, so not among the children
        return fingerprint(_fields(known[id(value)], value, known))
    if isinstance(value, (np.ndarray, np.generic)):
        return _told(value.tolist(), known)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_told(each, known) for each in value)}]"
    if isinstance(value, Mapping):
        pairs = sorted(f"{_told(k, known)}: {_told(each, known)}" for k, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(_told(each, known) for each in value))}}}"
    if isinstance(value, partial):
        return _told([value.func, value.args, value.keywords], known)
    opaque = type(value).__module__.split(".")[0] in _OPAQUE
    own = {} if opaque else getattr(value, "__dict__", {})
    return _class(value) + (_told(own, known) if own else "")


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}..."
