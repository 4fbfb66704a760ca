"""Makes a student smaller, in place: layers of 8, 4 or 2 bit, and pruned channels."""

from distill.compress.layers import QuantizedConv2d, QuantizedLinear
from distill.compress.pruned import pruned
from distill.compress.quantized import quantized
from distill.compress.quantizer import Quantizer, lsq_round, mse_step

__all__ = [
    "QuantizedConv2d",
    "QuantizedLinear",
    "Quantizer",
    "lsq_round",
    "mse_step",
    "pruned",
    "quantized",
]
