"""What a network costs in bits: of its weights, of what it multiplies, of its file."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from distill.compress.layers import QuantizedConv2d, QuantizedLinear
from distill.compress.quantizer import Quantizer
from distill.metrics import cost

_FLOAT, _STEP = 32, "quantizer.step"
_LAYERS = (nn.Conv2d, nn.Linear)
_ROUNDED = (QuantizedConv2d, QuantizedLinear)


class _Pass(NamedTuple):
    """One layer in one forward pass: multiply-adds, bits of its weights and of what it reads."""

    macs: int
    read: int
    weight_bits: int
    input_bits: int


def is_quantized(network: nn.Module) -> bool:
    """Whether any layer rounds its weights."""
    return any(isinstance(module, _ROUNDED) for module in network.modules())


def bit_costs(network: nn.Module, image: Tensor) -> dict[str, object]:
    """Count bits and bit operations of a forward pass; whatever is not quantised has 32 bits.

    Args:
        network: Any network.
        image: Its input (1, c, h, w).

    Returns:
        ``bits``, the means over the elements of ``weights`` and of what layers read,
        ``activations``; ``nonzero``, the share of weights, as they are multiplied, that are not 0;
        ``bops``, per multiply-add the product of the bits of its two factors.

    Example:
        >>> found = bit_costs(nn.Linear(3, 5), torch.ones(1, 3))
        >>> found["bits"], found["bops"]
        ({'weights': 32.0, 'activations': 32.0}, 15360)
    """
    passes: list[_Pass] = []
    sums = [q.bits for n, q in network.named_modules() if n.endswith("output_quantizer")]

    def note(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        macs = output.numel() * layer.weight[0].numel()  # type: ignore[index]
        own = getattr(layer, "input_quantizer", None)
        rounded = isinstance(layer, _ROUNDED)
        read = own.bits if isinstance(own, Quantizer) else sums[0] if rounded and sums else _FLOAT
        passes.append(_Pass(macs, args[0].numel(), _bits(layer), read))

    layers = [layer for layer in network.modules() if isinstance(layer, _LAYERS)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        whole = cost.flops(network, image) // 2
    finally:
        for hook in hooks:
            hook.remove()
    elsewhere = max(whole - sum(one.macs for one in passes), 0) * _FLOAT**2
    elements = [(layer.weight.numel(), _bits(layer)) for layer in layers]
    read = [(one.read, one.input_bits) for one in passes]
    bits = {"weights": _mean(elements), "activations": _mean(read)}
    bops = elsewhere + sum(one.macs * one.weight_bits * one.input_bits for one in passes)
    return {"bits": bits, "nonzero": _nonzero(network), "bops": bops}


def float_bytes(network: nn.Module) -> int:
    """Count the bytes of a float32 file of the same network, without steps."""
    state = network.state_dict()
    return len(save({n: t.contiguous() for n, t in state.items() if not n.endswith(_STEP)}))


def _bits(layer: nn.Module) -> int:
    return layer.weight_quantizer.bits if isinstance(layer, _ROUNDED) else _FLOAT


def _mean(pairs: list[tuple[int, int]]) -> float:
    total = sum(count for count, _ in pairs)
    return round(sum(count * bits for count, bits in pairs) / total, 2) if total else float(_FLOAT)


@torch.no_grad()
def _nonzero(network: nn.Module) -> float:
    counts = [(int(weight.count_nonzero()), weight.numel()) for weight in _weights(network)]
    return round(sum(n for n, _ in counts) / max(sum(n for _, n in counts), 1), 4)


def _weights(network: nn.Module) -> Iterator[Tensor]:
    for layer in network.modules():
        for name, weight in layer.named_parameters(recurse=False):
            if isinstance(layer, _ROUNDED) and name == "weight":
                yield layer.weight_quantizer(weight)
            elif weight.dim() > 1:
                yield weight
