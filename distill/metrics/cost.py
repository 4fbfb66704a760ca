"""Costs of a network: floating-point operations, and time on a CPU."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch import Size, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from distill.core.randomness import fold, uniform

_WARM_UP, _MOST_RUNS, _MOST_SECONDS = 3, 30, 0.5


def flops(network: nn.Module, image: Tensor) -> int:
    """Count the floating-point operations of a forward pass, two per multiply-add.

    Convolutions, matrix products, attention and LSTMs are counted; norms, activations and pooling
    are not. Deformable convolutions count as plain ones of their shape, without the interpolation.
    Papers often call half of this number FLOPs.

    Args:
        network: Any network.
        image: Its input (b, ...), on the network's device.

    Example:
        >>> flops(nn.Linear(3, 5), torch.zeros(1, 3))
        30
    """
    # The fused attention of the CPU is unknown to torch's counter; the plain one has its products.
    with _evaluated(network), sdpa_kernel(SDPBackend.MATH):
        counter = FlopCounterMode(display=False, custom_mapping=_unknown_to_torch())
        with counter:
            network(image)
    return int(counter.get_total_flops())


def cpu_latency_ms(network: nn.Module, image: Tensor) -> float:
    """Measure the median time of a forward pass on the CPU, in milliseconds.

    In evaluation mode, with torch's current number of threads: up to 30 passes or half a second,
    whichever ends first, after three to warm up.

    Args:
        network: Any network on the CPU.
        image: Its input (b, ...).
    """
    seconds: list[float] = []
    with _evaluated(network):
        for _ in range(_WARM_UP):
            network(image)
        while len(seconds) < _MOST_RUNS and sum(seconds) < _MOST_SECONDS:
            started = time.perf_counter()
            network(image)
            seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds)


def dummy_image(shape: tuple[int, ...]) -> Tensor:
    """Make a batch of one keyed random image (1, c, h, w) in 0..1.

    Example:
        >>> dummy_image((1, 8, 8)).shape
        torch.Size([1, 1, 8, 8])
    """
    pixels = torch.Size(shape).numel()
    return uniform(fold("dummy image"), torch.arange(1), pixels).view(1, *shape)


def _unknown_to_torch() -> dict[Any, Any]:
    """Map operators that torch does not count to functions that do."""
    from torchvision.ops import DeformConv2d  # noqa: F401 - defines the operator

    return {
        torch.ops.aten.mkldnn_rnn_layer: _lstm,
        torch.ops.torchvision.deform_conv2d: _deformable,
    }


def _deformable(image: Size, weight: Size, *_: object, out_shape: Size) -> int:
    """Count two per multiply-add: each output sums over a group's channels and the kernel."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def _lstm(sequence: Size, inner: Size, recurrent: Size, *_: object, out_shape: object) -> int:
    """Count one direction: two matrix products per step of a sequence (t, b, c)."""
    steps = sequence[0] * sequence[1]
    return 2 * steps * (inner.numel() + recurrent.numel())


@contextmanager
def _evaluated(network: nn.Module) -> Iterator[None]:
    """Set evaluation mode without gradients, and restore every module's mode afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
