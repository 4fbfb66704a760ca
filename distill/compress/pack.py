"""A quantised or sparse network in a file of the size that its bits and zeros say.

Rounded weights are stored as codes of 2, 4 or 8 bit (others in the next of these), several to a
byte, with the bits and shapes in the metadata; float32 tensors stand in one, which keeps the header
short, those with many zeros as a bit for each element and the others' values; all other tensors are
stored as they are.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from distill.compress.conventions import DoReFaWeights
from distill.compress.integers import integers
from distill.compress.layers import QuantizedConv2d, QuantizedLinear

_KEY = "distill.packed"
_CODES, _VALUES, _MASKS = ".codes", "values", "masks"
_DENSE = 0.9
"""The share of values other than 0 from which on a bit for each would save nothing much."""


def pack(model: nn.Module, path: Path) -> None:
    """Write the rounded weights as codes, and check that they come back bit for bit.

    Args:
        model: From :func:`distill.compress.quantized`, with its steps set.
        path: The file, ``student.packed.safetensors`` by custom.

    Raises:
        ValueError: If nothing is quantised or sparse, or a step was never set.
        RuntimeError: If what was written is not what was rounded.
    """
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    rounded, layout = {}, {}
    for name, layer in model.named_modules():
        if isinstance(layer, QuantizedConv2d | QuantizedLinear):
            if not layer.weight_quantizer.calibrated:
                raise ValueError(f"{name}: its steps were never set: train the network first")
            weight, own = f"{name}.weight", integers(layer)
            codes, step = own.codes.cpu(), own.step.cpu()
            odd = isinstance(layer.weight_quantizer, DoReFaWeights)
            bits = next(b for b in (2, 4, 8) if b >= layer.weight_quantizer.bits)
            tensors.pop(weight)
            tensors[weight + _CODES] = packed((codes - 1) // 2 if odd else codes, bits)
            tensors[f"{name}.weight_quantizer.step"] = step
            layout[weight] = {"bits": bits, "shape": list(codes.shape)} | (
                {"odd": 1} if odd else {}
            )
            rounded[weight] = layer.weight_quantizer(layer.weight).detach().cpu()
    values = {name: t for name, t in tensors.items() if t.dtype == torch.float32}
    sparse = [name for name, tensor in values.items() if is_sparse(tensor)]
    if not layout and not sparse:
        raise ValueError("the network has no quantised layer and no sparse weight to pack")
    stored = {name: t.contiguous() for name, t in tensors.items() if name not in values}
    kept = [t[t != 0] if name in sparse else t.flatten() for name, t in values.items()]
    stored[_VALUES] = torch.cat(kept)
    if sparse:
        stored[_MASKS] = packed(torch.cat([(values[name] != 0).flatten() for name in sparse]), 1)
        rounded |= {name: values[name] for name in sparse}
    shapes = {name: list(tensor.shape) for name, tensor in values.items()}
    told = json.dumps(
        {"weights": layout, "values": shapes, "sparse": sparse}, separators=(",", ":")
    )
    save_file(stored, path, {_KEY: told})
    back = unpack(path)
    for name, tensor in rounded.items():
        if not torch.equal(back[name], tensor):
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
            layout = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        masks = _masks(tensors, layout["values"], layout.get("sparse", []))
        return _plain(tensors, layout["weights"], layout["values"], masks)
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no packed network") from error


def is_sparse(weight: Tensor) -> bool:
    """Whether a float32 tensor has so many zeros that it is smaller as a mask and values."""
    if weight.dim() < 2 or weight.dtype != torch.float32:
        return False
    return int(weight.count_nonzero()) < _DENSE * weight.numel()


def _masks(
    tensors: dict[str, Tensor], shapes: Mapping[str, list[int]], sparse: list[str]
) -> dict[str, Tensor]:
    """Where the sparse tensors are not 0, by their names."""
    if not sparse:
        return {}
    sizes = [math.prod(shapes[name]) for name in sparse]
    bits = (tensors.pop(_MASKS).int()[:, None] >> torch.arange(8)) & 1
    parts = torch.split(bits.flatten()[: sum(sizes)].bool(), sizes)
    return dict(zip(sparse, parts, strict=True))


def _plain(
    tensors: dict[str, Tensor],
    layout: Mapping[str, Any],
    shapes: Mapping[str, list[int]],
    masks: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    sizes = [
        int(masks[name].sum()) if name in masks else math.prod(shape)
        for name, shape in shapes.items()
    ]
    for (name, shape), part in zip(
        shapes.items(), torch.split(tensors.pop(_VALUES), sizes), strict=True
    ):
        if name in masks:
            whole = part.new_zeros(math.prod(shape))
            whole[masks[name]] = part
            part = whole
        tensors[name] = part.reshape(shape)
    for weight, how in layout.items():
        codes = _unpacked(tensors.pop(weight + _CODES), how["bits"], how["shape"])
        codes = 2 * codes + 1 if how.get("odd") else codes
        step = tensors[f"{weight}_quantizer.step"]
        tensors[weight] = codes.float() * step.reshape(-1, *[1] * (codes.dim() - 1))
    return tensors


def packed(codes: Tensor, bits: int) -> Tensor:
    """Codes as bytes, uint8 (n,), the first in the lowest bits; zeros fill the last byte.

    Args:
        codes: Integers of any shape, each within the bits.
        bits: 1, 2, 4 or 8.
    """
    each = 8 // bits
    flat = codes.flatten().int() & (2**bits - 1)
    flat = torch.cat([flat, flat.new_zeros(-flat.numel() % each)]).reshape(-1, each)
    return (flat << (bits * torch.arange(each))).sum(dim=1).to(torch.uint8)


def _unpacked(stored: Tensor, bits: int, shape: list[int]) -> Tensor:
    """The signed integers of that shape."""
    each, half = 8 // bits, 2 ** (bits - 1)
    codes = (stored.int()[:, None] >> (bits * torch.arange(each))) & (2**bits - 1)
    signed: Tensor = (codes.flatten()[: math.prod(shape)] + half) % (2 * half) - half
    return signed.reshape(shape)
