"""The integers behind rounded weights, with or without the batch norm after them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from distill.compress.layers import QuantizedConv2d, QuantizedLinear


@dataclass(frozen=True)
class Integers:
    """A layer's weights as integers times a step for each output channel.

    Args:
        codes: Integers of the weight's shape, int16: a folded -128 may become 128.
        step: Above 0, (c,), float32.
        bias: (c,), float32.
    """

    codes: Tensor
    step: Tensor
    bias: Tensor


@torch.no_grad()
def integers(layer: QuantizedConv2d | QuantizedLinear) -> Integers:
    """The layer's own weights: ``codes * step`` are its rounded weights, bit for bit."""
    quantizer = layer.weight_quantizer
    step = quantizer.size()
    bias = torch.zeros_like(step) if layer.bias is None else layer.bias.float()
    return Integers(quantizer.codes(layer.weight), step.clone(), bias.clone())


@torch.no_grad()
def folded(layer: QuantizedConv2d | QuantizedLinear, norm: nn.Module) -> Integers:
    """The same with the batch norm after it, as it is in evaluation.

    With r = gamma / sqrt(var + eps) the step becomes step |r|, the integers change their sign
    where r is below 0, and the bias becomes beta + (bias - mean) r.

    Args:
        layer: The layer.
        norm: A batch norm with running statistics, which reads the layer's output.

    Raises:
        ValueError: If it is no such batch norm.
    """
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None or norm.running_var is None:
        raise ValueError("only a batch norm with running statistics folds into a layer")
    own = integers(layer)
    gamma = torch.ones_like(own.step) if norm.weight is None else norm.weight
    beta = torch.zeros_like(own.step) if norm.bias is None else norm.bias
    ratio = gamma / (norm.running_var + norm.eps).sqrt()
    sign = torch.where(ratio < 0, -1, 1).to(torch.int16)
    codes = own.codes * sign.reshape(-1, *[1] * (own.codes.dim() - 1))
    return Integers(codes, own.step * ratio.abs(), beta + (own.bias - norm.running_mean) * ratio)
