"""A quantised or sparse network in a file of the size that its bits and zeros say.

Rounded weights are codes of 2, 4 or 8 bit (others in the next of these), several to a byte; what
has many zeros is a bit for each element, in a Huffman code, and the others' codes or values. All
tensors of a kind stand in one, which keeps the header short; ``layout`` tells them apart.
"""

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from distill.compress.codes import packed, packed_masks, spread, unpacked, unpacked_masks
from distill.compress.conventions import DoReFaWeights
from distill.compress.integers import integers
from distill.compress.layers import QuantizedConv2d, QuantizedLinear

_LAYOUT, _MASKS, _CODES, _STEP = "layout", "masks", "codes", "_quantizer.step"
_DENSE = 0.9
"""The share of values other than 0 from which on a bit for each would save nothing much."""
_MOST = 2**24
"""Bytes of a layout."""


class _Row(NamedTuple):
    """How one tensor is stored.

    Attributes:
        name: In the state dict.
        kind: The tensor that it stands in: a type, or ``codes`` with their bits.
        shape: Its own.
        sparse: Whether a mask tells where it is not 0.
        odd: Whether a code c stands for 2c + 1.
    """

    name: str
    kind: str
    shape: list[int]
    sparse: bool = False
    odd: bool = False


def pack(model: nn.Module, path: Path) -> None:
    """Write the rounded weights as codes, and check that they come back bit for bit.

    Args:
        model: With quantised layers whose steps are set, or with many zeros, or both.
        path: The file, ``student.packed.safetensors`` by custom.

    Raises:
        ValueError: If nothing is quantised or sparse, or a step was never set.
        RuntimeError: If what was written is not what was rounded.
    """
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    rows, checked = [], {}
    for name, layer in model.named_modules():
        if isinstance(layer, QuantizedConv2d | QuantizedLinear):
            rows.append(_take_codes(tensors, name, layer))
            weight = layer.weight_quantizer(layer.weight)
            checked[f"{name}.weight"] = weight.detach().cpu()
    for name, tensor in tensors.items():
        if name not in checked:
            kind, sparse = str(tensor.dtype).removeprefix("torch."), is_sparse(tensor)
            rows.append(_Row(name, kind, list(tensor.shape), sparse))
    if not any(row.sparse or row.kind.startswith(_CODES) for row in rows):
        raise ValueError("the network has no quantised layer and no sparse weight to pack")
    save_file(_stored(tensors, rows), path)
    back = unpack(path)
    for name, tensor in tensors.items():
        if not torch.equal(back[name], checked.get(name, tensor)):
            raise RuntimeError(f"{path}: {name} was not written as it is")


def unpack(path: Path) -> dict[str, Tensor]:
    """The state dict with each rounded weight in float32, as the network computes with it.

    Args:
        path: From :func:`pack`.

    Raises:
        ValueError: If the file is no packed network.
    """
    try:
        with safe_open(path, "pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        rows = [_Row(*row) for row in json.loads(spread(stored[_LAYOUT], _MOST))]
        return _whole(stored, rows)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is no packed network") from error


def is_sparse(weight: Tensor) -> bool:
    """Whether a float32 tensor has so many zeros that it is smaller as a mask and values."""
    if weight.dim() < 2 or weight.dtype != torch.float32:
        return False
    return int(weight.count_nonzero()) < _DENSE * weight.numel()


def _take_codes(
    tensors: dict[str, Tensor], name: str, layer: QuantizedConv2d | QuantizedLinear
) -> _Row:
    """Put a layer's codes in the place of its weight."""
    if not layer.weight_quantizer.calibrated:
        raise ValueError(f"{name}: its steps were never set: train the network first")
    weight, own = f"{name}.weight", integers(layer)
    codes, odd = own.codes.cpu(), isinstance(layer.weight_quantizer, DoReFaWeights)
    tensors[weight] = (codes - 1) // 2 if odd else codes
    tensors[weight + _STEP] = own.step.cpu()
    bits = next(b for b in (2, 4, 8) if b >= layer.weight_quantizer.bits)
    saves = int(codes.count_nonzero()) * bits < codes.numel() * (bits - 1)
    return _Row(weight, f"{_CODES}{bits}", list(codes.shape), saves, odd)


def _stored(tensors: Mapping[str, Tensor], rows: list[_Row]) -> dict[str, Tensor]:
    """What the file holds: a tensor of each kind, the masks and the layout."""
    kinds: dict[str, list[Tensor]] = {}
    for row in rows:
        flat = tensors[row.name].flatten()
        kinds.setdefault(row.kind, []).append(flat[flat != 0] if row.sparse else flat)
    stored = {kind: torch.cat(parts) for kind, parts in kinds.items()}
    for kind, codes in stored.items():
        if kind.startswith(_CODES):
            stored[kind] = packed(codes, _bits(kind))
    masks = [tensors[row.name] != 0 for row in rows if row.sparse]
    if masks:
        stored[_MASKS] = packed_masks(masks)
    text = json.dumps(rows, separators=(",", ":")).encode()
    stored[_LAYOUT] = torch.frombuffer(bytearray(zlib.compress(text, 9)), dtype=torch.uint8)
    return stored


def _whole(stored: Mapping[str, Tensor], rows: list[_Row]) -> dict[str, Tensor]:
    """The tensors by name, codes multiplied by their steps."""
    sizes = {row.name: math.prod(row.shape) for row in rows}
    sparse = [row.name for row in rows if row.sparse]
    parts = unpacked_masks(stored[_MASKS], [sizes[name] for name in sparse]) if sparse else []
    masks = dict(zip(sparse, parts, strict=True))
    counts = sizes | {name: int(mask.sum()) for name, mask in masks.items()}
    found = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        many, flat = [counts[row.name] for row in own], stored[kind]
        if kind.startswith(_CODES):
            flat = unpacked(flat, _bits(kind), sum(many))
        for row, part in zip(own, torch.split(flat, many), strict=True):
            whole = part
            if row.sparse:
                whole = part.new_zeros(sizes[row.name])
                whole[masks[row.name]] = part
            found[row.name] = (2 * whole + 1 if row.odd else whole).reshape(row.shape)
    for row in rows:
        if row.kind.startswith(_CODES):
            step = found[row.name + _STEP].reshape(-1, *[1] * (len(row.shape) - 1))
            found[row.name] = found[row.name].float() * step
    return found


def _bits(kind: str) -> int:
    return int(kind.removeprefix(_CODES))
