"""DoReFa and PACT: two older ways to few bits, by name.

Zhou et al., "DoReFa-Net", 2016, arXiv 1606.06160; Choi et al., "PACT: parameterized clipping
activation for quantized neural networks", 2018, arXiv 1805.06085.
"""

from typing import Literal

import torch
from torch import Tensor

from distill.compress.quantizer import Init, Quantizer, lsq_round

Convention = Literal["lsq", "dorefa", "pact"]
_LEAST = 1e-8


def dorefa_weights(weight: Tensor, bits: int) -> Tensor:
    """2 round((2^b - 1) t) / (2^b - 1) - 1, for t = tanh(w) / (2 max|tanh(w)|) + 1/2.

    The rounding has the gradient 1; tanh and the maximum have their own. The levels are odd
    multiples of 1 / (2^b - 1) in -1..1: 0 is none of them, and the weights' scale is lost.

    Args:
        weight: Of a layer, any shape.
        bits: 2 to 7.

    Example:
        >>> dorefa_weights(torch.tensor([-2.0, -0.1, 0.1, 2.0]), 2)
        tensor([-1.0000, -0.3333,  0.3333,  1.0000])
    """
    top: int = 2**bits - 1
    squashed = weight.tanh()
    share = squashed / (2 * squashed.abs().amax().clamp_min(_LEAST)) + 0.5
    counts = lsq_round(share * top, share.new_ones(()), 0, top)
    return (2 * counts - top) * (1 / top)


def pact_round(x: Tensor, clip: Tensor, bits: int) -> Tensor:
    """round(y (2^b - 1) / a) a / (2^b - 1), for y = x between 0 and a, which is ``clip``.

    The gradient to x is 1 from 0 to below a and 0 elsewhere; that to a is 1 where x is a or more.

    Args:
        x: Values of any shape.
        clip: Above 0, ().
        bits: 2 to 8.

    Example:
        >>> pact_round(torch.tensor([-1.0, 0.9, 1.4, 7.0]), torch.tensor(3.0), 2)
        tensor([0., 1., 1., 3.])
    """
    clipped = torch.where(x >= clip, clip, x.clamp_min(0))
    with torch.no_grad():
        step = clip / (2**bits - 1)
        rounded = (clipped / step).round() * step
    # Exact: what was clipped and its rounding are within a factor of two, or the rounding is 0.
    found: Tensor = clipped + (rounded - clipped).detach()
    return found


class DoReFaWeights(Quantizer):
    """Module form of :func:`dorefa_weights`; its step is no parameter.

    Args:
        bits: From 2 to 7.
        channels: Of the weight.
    """

    has_zero = False

    def __init__(self, bits: int, channels: int) -> None:
        super().__init__(bits, True, channels)
        self.low, self.high, self.width = 1 - 2**bits, 2**bits - 1, bits + 1
        _fix(self, 1 / self.high)

    def codes(self, x: Tensor) -> Tensor:
        """The odd integers behind the levels, int16."""
        counts: Tensor = dorefa_weights(x.float(), self.bits) * self.high
        return counts.round().to(torch.int16)

    def _rounded(self, x: Tensor, step: Tensor) -> Tensor:
        return dorefa_weights(x, self.bits)


class DoReFaActivations(Quantizer):
    """Rounds activations, clipped to 0..1, to multiples of 1 / (2^b - 1).

    Args:
        bits: From 2 to 8.
    """

    def __init__(self, bits: int) -> None:
        super().__init__(bits, False)
        _fix(self, 1 / self.high)


class PACT(Quantizer):
    """Module form of :func:`pact_round`: it learns where activations are clipped.

    The clip a is kept as its step, a / (2^b - 1), whose gradient is so scaled that gradient descent
    moves a as in the paper. The paper's penalty on a is weight decay, which ``decay: weights``
    would spare. a begins where the squared error is least, not at a number of the paper's.
    """

    def _scale(self, x: Tensor) -> float:
        return 1.0 / self.high**2

    def _rounded(self, x: Tensor, step: Tensor) -> Tensor:
        return pact_round(x, step * self.high, self.bits)


def weight_quantizer(convention: str, bits: int, channels: int, init: Init) -> Quantizer:
    """What rounds a layer's weights: PACT takes DoReFa's."""
    if convention == "lsq":
        return Quantizer(bits, True, channels, init)
    return DoReFaWeights(bits, channels)


def input_quantizer(convention: str, bits: int, signed: bool, init: Init) -> Quantizer:
    """What rounds a layer's input: both older ways are for values that are not below 0."""
    if convention == "dorefa" and not signed:
        return DoReFaActivations(bits)
    return (PACT if convention == "pact" and not signed else Quantizer)(bits, signed, 0, init)


def _fix(quantizer: Quantizer, step: float) -> None:
    fixed = torch.full_like(quantizer.step.detach(), step)
    del quantizer.step
    quantizer.register_buffer("step", fixed)
    quantizer.calibrated = True
