"""Layers that round their weights, and their input where nothing before them has."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.compress.quantizer import Quantizer


class QuantizedConv2d(nn.Conv2d):
    """A convolution with rounded weights; made of an ``nn.Conv2d`` by :func:`quantize_layer`."""

    weight_quantizer: Quantizer
    input_quantizer: Quantizer | None

    def forward(self, input: Tensor) -> Tensor:
        """The layer of what is rounded, in float32 whatever the precision around it."""
        with torch.autocast(input.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.to(torch.promote_types(*_kinds(self)))
            weight = self.weight_quantizer(self.weight)
            output: Tensor = self._conv_forward(_read(self, input), weight, bias)
            return output


class QuantizedLinear(nn.Linear):
    """A linear layer with rounded weights; made of an ``nn.Linear`` by :func:`quantize_layer`."""

    weight_quantizer: Quantizer
    input_quantizer: Quantizer | None

    def forward(self, input: Tensor) -> Tensor:
        """The layer of what is rounded, in float32 whatever the precision around it."""
        with torch.autocast(input.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.to(torch.promote_types(*_kinds(self)))
            return F.linear(_read(self, input), self.weight_quantizer(self.weight), bias)


QUANTIZED = {nn.Conv2d: QuantizedConv2d, nn.Linear: QuantizedLinear}


def quantize_layer(layer: nn.Module, weights: Quantizer, read: Quantizer | None) -> None:
    """Change the layer's class; it stays the same object, with its own weight, bias and hooks.

    Args:
        layer: An ``nn.Conv2d`` or ``nn.Linear``, no subclass of one.
        weights: What rounds its weight; a step for each output channel.
        read: What rounds its input, or None where what it reads is rounded already.
    """
    device = layer.weight.device
    layer.__class__ = QUANTIZED[type(layer)]
    layer.weight_quantizer = weights
    layer.register_module("input_quantizer", read)
    layer.to(device).train(layer.training)  # type: ignore[arg-type]


def _read(layer: QuantizedConv2d | QuantizedLinear, x: Tensor) -> Tensor:
    if layer.input_quantizer is not None:
        return layer.input_quantizer(x)  # type: ignore[no-any-return]
    return x if x.dtype == torch.float64 else x.float()


def _kinds(layer: QuantizedConv2d | QuantizedLinear) -> tuple[torch.dtype, torch.dtype]:
    return layer.weight.dtype, torch.float32
