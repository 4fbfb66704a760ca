"""What stored outputs depend on, as named fields that can be compared."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from distill.randomness import bits, fold

Fields = Mapping[str, str]
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


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

    Args:
        key: What to call it, for instance ``data.augment.0``.
        module: One that keeps its settings as attributes, as those of ``distill.augment`` do.

    Example:
        >>> module_fields("data.augment.0", nn.Dropout(0.1))["data.augment.0.p"]
        '0.1'
    """
    fields = {key: _class(module)}
    own = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    fields |= {f"{key}.{name}": _told(value) for name, value in (*own.items(), *tensors)}
    for name, inner in module.named_children():
        fields |= module_fields(f"{key}.{name}", inner)
    return fields


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


def _told(value: object) -> str:
    """A value as text that is the same in every process: no addresses."""
    if isinstance(value, Tensor):
        return tensors_digest({"": value})
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_told(each) for each in value)}]"
    if value is None or isinstance(value, (bool, int, float, str)):
        return str(value)
    return _class(value)


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}..."
