"""Networks of layers that each read one or more earlier ones, added or concatenated.

Paths to tap: ``stem``, ``layers.0``, ``layers.1``, ...; the embedding (b, c) is ``fc:input``.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from students.checks import check_keys, check_positive, check_sizes
from students.conv_blocks import Fit, operation, unit


class Layer(nn.Module):
    """An operation on several maps, which are first halved to its size.

    Args:
        given: Channels and halvings of each of its inputs.
        layer: ``op``, ``width``, ``halvings`` and, for several inputs, ``merge``.
    """

    def __init__(self, given: list[tuple[int, int]], layer: Mapping[str, Any]) -> None:
        super().__init__()
        self.adds = layer.get("merge") == "add"
        width = layer["width"]
        self.fits = nn.ModuleList(
            Fit(before, width if self.adds else before, layer["halvings"] - halvings)
            for before, halvings in given
        )
        before = width if self.adds else sum(channels for channels, _ in given)
        self.op = operation(layer["op"], before, width)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Maps (b, c, h, w) of several maps."""
        fitted = [fit(one) for fit, one in zip(self.fits, inputs, strict=True)]
        merged = torch.stack(fitted).sum(0) if self.adds else torch.cat(fitted, 1)
        output: Tensor = self.op(merged)
        return output


class Branches(nn.Module):
    """A stem, layers that read earlier ones, and a linear classifier of the last one's mean.

    Args:
        architecture: As :func:`students.from_architecture` takes it.
        num_classes: Classes.
        in_channels: Channels of an image.

    Raises:
        ValueError: If a key or a value is not of such a network; the message names it.
    """

    def __init__(self, architecture: Mapping[str, Any], num_classes: int, in_channels: int) -> None:
        super().__init__()
        check_sizes(num_classes, in_channels)
        _check(architecture)
        self.reads = [list(layer["inputs"]) for layer in architecture["layers"]]
        self.stem = nn.Sequential(unit(in_channels, architecture["stem"], 3), nn.ReLU())
        known = [(architecture["stem"], 0)]
        self.layers = nn.ModuleList()
        for layer in architecture["layers"]:
            self.layers.append(Layer([known[one] for one in layer["inputs"]], layer))
            known.append((layer["width"], layer["halvings"]))
        self.fc = nn.Linear(known[-1][0], num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        maps = [self.stem(image)]
        for layer, reads in zip(self.layers, self.reads, strict=True):
            maps.append(layer([maps[one] for one in reads]))
        logits: Tensor = self.fc(maps[-1].mean((2, 3)))
        return logits


def _check(architecture: Mapping[str, Any]) -> None:
    check_keys("architecture", architecture, {"family", "stem", "layers"}, set())
    check_positive("architecture.stem", architecture["stem"])
    halvings = [0]
    for index, layer in enumerate(architecture["layers"]):
        place = f"architecture.layers.{index}"
        check_keys(place, layer, {"op", "width", "inputs", "halvings", "merge"}, {"merge"})
        check_positive(f"{place}.width", layer["width"])
        inputs = layer["inputs"]
        if not inputs or any(one not in range(index + 1) for one in inputs):
            raise ValueError(f"{place}.inputs must be of 0 (the stem) to {index}, got {inputs}")
        least = max(halvings[one] for one in inputs)
        if layer["halvings"] < least:
            raise ValueError(f"{place}.halvings must be at least its inputs' {least}")
        if (layer.get("merge") in ("add", "concat")) != (len(inputs) > 1):
            raise ValueError(f"{place}.merge must be add or concat, for several inputs alone")
        halvings.append(layer["halvings"])
