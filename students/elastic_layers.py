"""Layers of which the first channels and the inner places of kernels may be used alone.

Kernels shrink as in Once-for-All (Cai et al., ICLR 2020, arXiv 1908.09791): the middle of the
larger one, times a matrix of the layer's own that begins as the identity.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ElasticConv(nn.Conv2d):
    """A convolution without bias, of which a part is used.

    Args:
        before: Channels that come, at most.
        after: Channels that go, at most.
        kernels: Sizes of its kernel, odd.
        stride: Its stride.
        depthwise: Whether each channel is convolved alone; ``before`` and ``after`` agree then.

    Attributes:
        used: Channels that come, channels that go, and the size of the kernel; all at first.
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernels: Sequence[int] = (1,),
        stride: int = 1,
        depthwise: bool = False,
    ) -> None:
        sizes = sorted(kernels, reverse=True)
        groups = before if depthwise else 1
        super().__init__(before, after, sizes[0], stride, sizes[0] // 2, groups=groups, bias=False)
        self.depthwise, self._sizes = depthwise, sizes
        self.transforms = nn.ParameterList(torch.eye(small**2) for small in sizes[1:])
        self.used = (before, after, sizes[0])

    def part(self) -> Tensor:
        """The weights in use (after, before, kernel, kernel); of depthwise ones ``before`` is 1."""
        before, after, kernel = self.used
        weight = self.weight[:after, : 1 if self.depthwise else before]
        for (size, small), matrix in zip(pairwise(self._sizes), self.transforms, strict=True):
            if size == kernel:
                break
            edge = (size - small) // 2
            middle = weight[..., edge : edge + small, edge : edge + small]
            weight = F.linear(middle.flatten(2), matrix).view(middle.shape)
        return weight

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, after, h', w') of maps (b, before, h, w)."""
        weight, groups = self.part(), len(maps[0]) if self.depthwise else 1
        edge = weight.shape[-1] // 2
        return F.conv2d(maps, weight, None, self.stride, edge, groups=groups)


class ElasticNorm(nn.BatchNorm2d):
    """A batch norm of the first channels: those beyond what comes stay as they are."""

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape (b, c, h, w), with any c up to ``num_features``."""
        channels, momentum = maps.shape[1], self.momentum
        mean, var = self.running_mean, self.running_var
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        elif self.training:
            mean = var = None
        return F.batch_norm(
            maps,
            None if mean is None else mean[:channels],
            None if var is None else var[:channels],
            self.weight[:channels],
            self.bias[:channels],
            self.training,
            momentum or 0.0,
            self.eps,
        )


class ElasticUnit(nn.Sequential):
    """A convolution and its batch norm, of which a part is used; arguments as of the convolution.

    Attributes:
        convolution: The convolution.
        norm: The batch norm.
    """

    convolution: ElasticConv
    norm: ElasticNorm

    def __init__(
        self,
        before: int,
        after: int,
        kernels: Sequence[int] = (1,),
        stride: int = 1,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = ElasticConv(before, after, kernels, stride, depthwise)
        self.norm = ElasticNorm(after)

    def choose(self, before: int, after: int, kernel: int = 1) -> None:
        """Use these channels and this size of the kernel."""
        self.convolution.used = (before, after, kernel)

    def part(self) -> dict[str, Tensor]:
        """What :func:`students.conv_blocks.unit` of the part in use holds, by name, copied."""
        after, norm = self.convolution.used[1], self.norm
        kept = {name: value for name, value in norm.state_dict().items() if value.ndim}
        found = {"0.weight": self.convolution.part()}
        found |= {f"1.{name}": value[:after] for name, value in kept.items()}
        found |= {"1.num_batches_tracked": norm.state_dict()["num_batches_tracked"]}
        return {name: value.detach().clone() for name, value in found.items()}

    def reorder(self, order: Tensor) -> None:
        """Put the channels that go in another order."""
        for tensor in (self.convolution.weight, *self.norm.state_dict().values()):
            if tensor.ndim:
                tensor.copy_(tensor[order])


class ElasticLinear(nn.Linear):
    """A linear layer of the first features that come."""

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (b, k) of features (b, c), with any c up to ``in_features``."""
        return F.linear(features, self.weight[:, : features.shape[1]], self.bias)
