"""Rounds to a few levels with a learned step.

Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153. The step begins where
the squared error is least; the paper's beginning, ``lsq``, wastes most of 256 levels.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

Init = Literal["mse", "lsq"]
_LEAST = 1e-8
_GRID = 39


def lsq_round(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """The nearest of the levels ``low * step`` to ``high * step``.

    The gradient to x is 1 inside the range, ends included, and 0 outside of it. That to the step
    is round(v) - v inside, for v = x / step, and ``low`` or ``high`` outside.

    Args:
        x: Values of any shape.
        step: Above 0, broadcast to x.
        low: The least integer.
        high: The greatest integer.

    Example:
        >>> lsq_round(torch.tensor([-9.0, 0.6, 1.4]), torch.tensor(0.5), -2, 1)
        tensor([-1.0000,  0.5000,  0.5000])
    """
    scaled = (x / step).clamp(low, high)
    # Exact: scaled and its rounding are within a factor of two, or the rounding is 0.
    return (scaled + (scaled.round() - scaled).detach()) * step


def mse_step(x: Tensor, low: int, high: int) -> Tensor:
    """The step of a grid with the least squared error of rounding, for each row.

    Args:
        x: Rows of values (r, n).
        low: The least integer.
        high: The greatest integer.

    Returns:
        Steps (r,), above 0 also for rows of zeros. The grid is max|x| / high times 0.05 to 1.
    """
    top = x.abs().amax(dim=1) / high
    best = top.clamp_min(_LEAST)
    least = torch.full_like(top, torch.inf)
    for share in torch.linspace(0.05, 1.0, _GRID).tolist():
        step = (top * share).clamp_min(_LEAST)
        error = (x - lsq_round(x, step[:, None], low, high)).square().sum(dim=1)
        best = torch.where(error < least, step, best)
        least = torch.minimum(error, least)
    return best


class Quantizer(nn.Module):
    """Rounds a tensor to 2^bits levels, in float32 whatever the precision around it.

    The step is 0 until the first forward in training has set it. Before that, in evaluation, each
    tensor is rounded with a step of its own and nothing is kept.

    Args:
        bits: From 2 to 8.
        signed: Whether levels are below 0 too.
        channels: Steps along the first axis; 0 is one step for the tensor.
        init: Least squared error, or ``lsq``: 2 mean|x| / sqrt(high).

    Attributes:
        low: The least integer.
        high: The greatest integer.
        width: Bits of these integers.
        has_zero: Whether 0 is rounded to 0.
    """

    step: Tensor
    low: int
    high: int
    has_zero = True

    def __init__(self, bits: int, signed: bool, channels: int = 0, init: Init = "mse") -> None:
        super().__init__()
        self.bits, self.width, self.signed, self.init = bits, bits, signed, init
        self.low = -(2 ** (bits - 1)) if signed else 0
        self.high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        self.step = nn.Parameter(torch.zeros(channels) if channels else torch.zeros(()))
        self.calibrated = False
        self._share = _share_of_lsq(self.low, self.high) if init == "mse" else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """The nearest levels to x, float32 or float64; the gradient is :func:`lsq_round`'s."""
        with torch.autocast(x.device.type, enabled=False):
            x = x if x.dtype == torch.float64 else x.float()
            step = self.size() if self.calibrated else self._calibrate(x)
            if self.training:
                step = _Scaled.apply(step, self._scale(x))
            if self.step.dim():
                step = step.reshape(-1, *[1] * (x.dim() - 1))
            return self._rounded(x, step)

    def codes(self, x: Tensor) -> Tensor:
        """The integers whose multiples of the step are what x is rounded to, int16."""
        step = self.size().reshape(-1, *[1] * (x.dim() - 1)) if self.step.dim() else self.size()
        return (x.float() / step).clamp(self.low, self.high).round().to(torch.int16)

    def size(self) -> Tensor:
        """The step as it is used: above 0 wherever an optimizer has moved the parameter."""
        step = self.step if self.step.dtype == torch.float64 else self.step.float()
        return step.abs().clamp_min(_LEAST)

    def extra_repr(self) -> str:
        """What the network's printed form says of it."""
        return f"bits={self.bits}, signed={self.signed}, steps={max(self.step.numel(), 1)}"

    def _rounded(self, x: Tensor, step: Tensor) -> Tensor:
        return lsq_round(x, step, self.low, self.high)

    def _scale(self, x: Tensor) -> float:
        """1 / sqrt(n high) for n weights per step, or n features of a sample, as in the paper.

        That lets a step and what it rounds change by equal shares of themselves, where the step
        begins at the paper's size. At 8 bit the least error begins at a fifth of it: the step
        would wander until few of the 256 levels are left. So the scale is smaller by as much.
        """
        return self._share / math.sqrt(max(x[0].numel(), 1) * self.high)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _calibrate(self, x: Tensor) -> Tensor:
        """The step for this tensor; it is kept in training."""
        with torch.no_grad():
            rows = x.detach().reshape(max(self.step.numel(), 1) if self.step.dim() else 1, -1)
            if self.init == "mse":
                found = mse_step(rows, self.low, self.high)
            else:
                found = 2 * rows.abs().mean(dim=1) / math.sqrt(self.high)
            found = found.clamp_min(_LEAST).reshape(self.step.shape)
            if not self.training:
                return found
            if dist.is_available() and dist.is_initialized():
                dist.all_reduce(found)
                found /= dist.get_world_size()
            self.step.copy_(found)
        self.calibrated = True
        return self.size()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], *args: Any) -> None:  # noqa: ANN401
        super()._load_from_state_dict(state_dict, *args)
        self.calibrated = bool((self.step != 0).all())


@cache
def _share_of_lsq(low: int, high: int) -> float:
    """The step of least error by that of ``lsq``, both of normally distributed values."""
    values = torch.special.ndtri((torch.arange(4096, dtype=torch.float64) + 0.5) / 4096)[None]
    values = values if low else values.abs()
    lsq = 2 * values.abs().mean() / math.sqrt(high)
    return float(mse_step(values, low, high)[0] / lsq)


class _Scaled(torch.autograd.Function):
    """The same number, its gradient scaled; ``s g + (s - s g)`` would move it by an ulp."""

    @staticmethod
    def forward(ctx: Any, step: Tensor, scale: float) -> Tensor:  # noqa: ANN401
        ctx.scale = scale
        return step.view_as(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return gradients[0] * ctx.scale, None
