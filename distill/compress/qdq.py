"""A quantised network as ONNX says it: quantised and back at the same places, weights as integers.

Runtimes fuse what stands between two such pairs into integer operators. All activations are uint8,
signed ones with zero point 128, as onnxruntime fuses one type alone; fewer than 8 bits are clipped.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.onnx import ops

from distill.compress.integers import Integers, folded, integers
from distill.compress.layers import QuantizedConv2d, QuantizedLinear
from distill.compress.quantizer import Quantizer

_LAYERS = (QuantizedConv2d, QuantizedLinear)
_OPSET = 21
_Layer = QuantizedConv2d | QuantizedLinear


class RoundedActivation(nn.Module):
    """Rounds to the levels of a quantiser.

    Args:
        quantizer: Its step set.
    """

    step: Tensor
    zero: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        zero = 128 if quantizer.signed else 0
        self.bits, self.low, self.high = quantizer.bits, quantizer.low + zero, quantizer.high + zero
        self.register_buffer("step", quantizer.size().detach().clone())
        self.register_buffer("zero", torch.tensor(zero, dtype=torch.uint8))
        self.register_buffer("least", torch.tensor(self.low, dtype=torch.uint8))
        self.register_buffer("most", torch.tensor(self.high, dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        """The levels, float32."""
        codes = _op("QuantizeLinear", (x, self.step, self.zero), torch.uint8, x)
        if self.bits < 8:
            codes = _op("Clip", (codes, self.least, self.most), torch.uint8, x)
        return _op("DequantizeLinear", (codes, self.step, self.zero), torch.float32, x)


class StoredIntegers(nn.Module):
    """Gives integers times a step per channel, whatever it is called with.

    Args:
        codes: Of the first axis's channels.
        step: (c,).
    """

    codes: Tensor
    step: Tensor

    def __init__(self, codes: Tensor, step: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("step", step)

    def forward(self, *_: Tensor) -> Tensor:
        """The values, float32."""
        given = (self.codes, self.step)
        return _op("DequantizeLinear", given, torch.float32, self.codes, axis=0)


class _WithIntegers(nn.Module):
    """A layer whose weight is stored as integers; the rest is as in the layer."""

    bias: Tensor

    def __init__(self, layer: _Layer, own: Integers) -> None:
        super().__init__()
        self.input_quantizer: nn.Module | None = None
        self.stored_weight = StoredIntegers(own.codes.to(torch.int8), own.step)
        self.register_buffer("bias", own.bias)
        self.convolution: tuple[Any, ...] | None = None
        if isinstance(layer, QuantizedConv2d):
            self.convolution = layer.stride, layer.padding, layer.dilation, layer.groups

    def forward(self, input: Tensor) -> Tensor:
        x = input if self.input_quantizer is None else self.input_quantizer(input)
        weight = self.stored_weight()
        if self.convolution is None:
            return nn.functional.linear(x, weight, self.bias)
        return nn.functional.conv2d(x, weight, self.bias, *self.convolution)


@torch.no_grad()
def with_integers(network: nn.Module, image: Tensor) -> tuple[nn.Module, dict[str, int]]:
    """A copy of a quantised network that exports as integers, batch norms folded.

    Args:
        network: In evaluation mode, on the CPU, with all steps set.
        image: What it takes.

    Returns:
        The copy, and the bits of its weights by the name of their tensor.

    Raises:
        ValueError: If a step was never set, or no layer reads rounded values.
    """
    network = copy.deepcopy(network)
    _check_steps(network)
    names = {module: name for name, module in network.named_modules()}
    norms, read = _seen(network, image)
    bits = {}
    for layer in read:
        norm = norms.get(layer)
        _put(network, names[layer], _replaced(layer, norm))
        bits[f"{names[layer]}.stored_weight.codes"] = layer.weight_quantizer.width
        if norm is not None:
            norm.__class__ = _Same
    if not bits:
        raise ValueError("no layer reads rounded values")
    for name, module in list(network.named_modules()):
        if isinstance(module, Quantizer) and name.endswith("output_quantizer"):
            _put(network, name, RoundedActivation(module))
    return network.eval(), bits


def _check_steps(network: nn.Module) -> None:
    for name, module in network.named_modules():
        if isinstance(module, Quantizer) and not module.calibrated:
            raise ValueError(f"{name}: its step was never set: train the network first")


def _replaced(layer: _Layer, norm: nn.Module | None) -> nn.Module:
    """The layer with integers, its quantisers and hooks where they were."""
    new = _WithIntegers(layer, _own(layer, norm))
    if isinstance(layer.input_quantizer, Quantizer):
        new.input_quantizer = RoundedActivation(layer.input_quantizer)
    if "output_quantizer" in layer._modules:
        new.output_quantizer = layer.output_quantizer
    for hook in layer._forward_hooks.values():
        new.register_forward_hook(hook)
    return new


def in_float(network: nn.Module) -> nn.Module:
    """A copy of a quantised network that rounds nothing."""
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, Quantizer):
            _put(network, name, nn.Identity())
    return network


def _own(layer: _Layer, norm: nn.Module | None) -> Integers:
    """The integers, folded; where a sign does not fit into their bits, the step keeps it."""
    if norm is None:
        return integers(layer)
    found, plain = folded(layer, norm), integers(layer)
    beyond = (found.codes > layer.weight_quantizer.high).flatten(1).any(dim=1)
    shape = (-1, *[1] * (found.codes.dim() - 1))
    codes = torch.where(beyond.reshape(shape), plain.codes, found.codes)
    return Integers(codes, torch.where(beyond, -found.step, found.step), found.bias)


class _Seen:
    """What one pass sees: tensors are kept alive so that no other one gets their number."""

    def __init__(self) -> None:
        self.norms: dict[_Layer, nn.Module] = {}
        self.read: dict[_Layer, None] = {}
        self._made: dict[int, _Layer] = {}
        self._rounded: set[int] = set()
        self._kept: list[Tensor] = []

    def before(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        """A layer reads rounded values, or a batch norm what a layer made."""
        if isinstance(module, _LAYERS):
            own = isinstance(module.input_quantizer, Quantizer)
            if own or id(args[0]) in self._rounded:
                self.read[module] = None
        elif isinstance(module, _BatchNorm) and id(args[0]) in self._made:
            self.norms[self._made[id(args[0])]] = module

    def after(self, module: nn.Module, args: tuple[Tensor, ...], output: object) -> None:
        """A layer or a quantiser made a tensor."""
        if isinstance(output, Tensor):
            self._kept.append(output)
            if isinstance(module, _LAYERS):
                self._made[id(output)] = module
            if isinstance(module, Quantizer):
                self._rounded.add(id(output))


def _seen(network: nn.Module, image: Tensor) -> tuple[dict[_Layer, nn.Module], list[_Layer]]:
    """The batch norm that reads each layer, and the layers that read rounded values."""
    seen, handles = _Seen(), []
    for module in network.modules():
        handles.append(module.register_forward_pre_hook(seen.before))
        handles.append(module.register_forward_hook(seen.after))
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    return {layer: norm for layer, norm in seen.norms.items() if layer in seen.read}, [*seen.read]


class _Same(nn.Identity):
    """In the place of a batch norm that was folded: what hooks on it still works."""


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    above, _, last = name.rpartition(".")
    setattr(network.get_submodule(above) if above else network, last, module)


def _op(
    kind: str,
    given: tuple[Tensor, ...],
    dtype: torch.dtype,
    like: Tensor,
    axis: int | None = None,
) -> Tensor:
    """An operator of ONNX; it is there to be exported, and computes nothing here."""
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    return ops.symbolic(
        kind, given, attrs=attributes, dtype=dtype, shape=like.shape, version=_OPSET
    )
