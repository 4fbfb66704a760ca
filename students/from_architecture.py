"""A network from a mapping that says what it is made of, written inline in a recipe."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from students.chain import Chain


def from_architecture(
    architecture: Mapping[str, Any], num_classes: int, in_channels: int = 3
) -> nn.Module:
    """The network that a mapping describes, as :class:`students.spaces.Chain` writes it.

    Args:
        architecture: ``family: chain``; ``stem``, the channels of the first convolution; and
            ``stages``, a list of ``op`` (conv or mbconv), ``width``, ``depth``, ``kernel``,
            ``stride`` and, for mbconv, ``expand``.
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If a key or a value is not of the family.

    Example:
        >>> stage = {"op": "conv", "width": 8, "depth": 1, "kernel": 3, "stride": 2}
        >>> chain = {"family": "chain", "stem": 4, "stages": [stage]}
        >>> sum(p.numel() for p in from_architecture(chain, num_classes=10).parameters())
        510
    """
    if architecture.get("family") != "chain":
        raise ValueError(f"architecture.family must be chain, got {architecture.get('family')!r}")
    return Chain(architecture, num_classes, in_channels)
