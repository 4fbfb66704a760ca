"""A network from a mapping that says what it is made of, written inline in a recipe."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from students.branches import Branches
from students.cells import Cells
from students.chain import Chain

FAMILIES: dict[str, type[Branches] | type[Cells] | type[Chain]] = {
    "branches": Branches,
    "cells": Cells,
    "chain": Chain,
}


def from_architecture(
    architecture: Mapping[str, Any], num_classes: int, in_channels: int = 3
) -> nn.Module:
    """The network that a mapping describes, as the spaces of :mod:`students.spaces` write it.

    Args:
        architecture: ``family`` and what it needs. ``chain``: ``stem``, the channels of the first
            convolution; and ``stages``, a list of ``op`` (conv or mbconv), ``width``, ``depth``,
            ``kernel``, ``stride`` and, for mbconv, ``expand``. ``branches``: ``stem``; and
            ``layers``, a list of ``op``, ``width``, ``halvings``, ``inputs`` (0 the stem, 1 the
            first layer) and, for several, ``merge`` (add or concat). ``cells``: ``width``,
            ``cells``, ``reduce_at``; and ``normal`` and ``reduce``, lists of nodes, each a list of
            [input, operation].
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
    family = architecture.get("family")
    if family not in FAMILIES:
        raise ValueError(f"architecture.family must be {' or '.join(FAMILIES)}, got {family!r}")
    return FAMILIES[family](architecture, num_classes, in_channels)
