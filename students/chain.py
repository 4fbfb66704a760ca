"""Chain-structured networks, layer n reading layer n-1: the space of most searches by stages.

Plain 3x3 and 5x5 convolutions, or inverted residuals (Sandler et al., arXiv 1801.04381), each
skipped where its shapes agree. Paths to tap: ``stem``, ``stages.0``, ``stages.1``, ...; the
embedding (b, c) is ``fc:input``.
"""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from students.checks import check_keys, check_positive, check_sizes
from students.conv_blocks import unit

LAYER = {"op", "width", "depth", "kernel", "expand", "stride"}


class Layer(nn.Module):
    """A convolution, or an inverted residual; plus its input where the shapes agree."""

    def __init__(
        self,
        op: Literal["conv", "mbconv"],
        widths: tuple[int, int],
        kernel: int,
        expand: int,
        stride: int,
    ) -> None:
        super().__init__()
        before, after = widths
        inner = before * expand
        if op == "conv":
            parts = [unit(before, after, kernel, stride)]
        else:
            parts = [unit(before, inner, 1), nn.ReLU()] if expand > 1 else []
            parts += [unit(inner, inner, kernel, stride, groups=inner), nn.ReLU()]
            parts += [unit(inner, after, 1)]
        self.body = nn.Sequential(*parts)
        self.relu = nn.ReLU() if op == "conv" else nn.Identity()
        self.skips = stride == 1 and before == after

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c', h', w') of maps (b, c, h, w)."""
        changed = self.body(maps)
        output: Tensor = self.relu(changed + maps if self.skips else changed)
        return output


class Chain(nn.Module):
    """A stem, stages of equal layers, and a linear classifier of the mean over places.

    Args:
        architecture: As :func:`students.from_architecture` takes it.
        num_classes: Classes.
        in_channels: Channels of an image.

    Raises:
        ValueError: If a key or a value is not of a chain.
    """

    def __init__(self, architecture: Mapping[str, Any], num_classes: int, in_channels: int) -> None:
        super().__init__()
        check_sizes(num_classes, in_channels)
        check_chain(architecture)
        width = architecture["stem"]
        self.stem = nn.Sequential(unit(in_channels, width, 3), nn.ReLU())
        self.stages = nn.Sequential()
        for stage in architecture["stages"]:
            self.stages.append(_stage(width, stage))
            width = stage["width"]
        self.fc = nn.Linear(width, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        logits: Tensor = self.fc(self.stages(self.stem(image)).mean((2, 3)))
        return logits


def _stage(width: int, stage: Mapping[str, Any]) -> nn.Sequential:
    layers = nn.Sequential()
    for index in range(stage["depth"]):
        stride = stage["stride"] if index == 0 else 1
        widths = (width if index == 0 else stage["width"], stage["width"])
        layers.append(Layer(stage["op"], widths, stage["kernel"], stage.get("expand", 1), stride))
    return layers


def check_chain(architecture: Mapping[str, Any]) -> None:
    """Require what a chain is made of; the message names the key.

    Raises:
        ValueError: If a key or a value is not of a chain.
    """
    check_keys("architecture", architecture, {"family", "stem", "stages"}, set())
    check_positive("architecture.stem", architecture["stem"])
    stages = architecture["stages"]
    if not isinstance(stages, list | tuple) or not stages:
        raise ValueError(f"architecture.stages must be a list of stages, got {stages!r}")
    for index, stage in enumerate(stages):
        place = f"architecture.stages.{index}"
        if not isinstance(stage, Mapping):
            raise ValueError(f"{place} must be a mapping, got {stage!r}")
        check_keys(place, stage, LAYER, {"expand"})
        if stage["op"] not in ("conv", "mbconv"):
            raise ValueError(f"{place}.op must be conv or mbconv, got {stage['op']!r}")
        for name in sorted((LAYER - {"op"}) & stage.keys()):
            check_positive(f"{place}.{name}", stage[name])
        if stage["kernel"] % 2 == 0:
            raise ValueError(f"{place}.kernel must be odd, got {stage['kernel']}")
        if stage["op"] == "conv" and stage.get("expand", 1) != 1:
            raise ValueError(f"{place}.expand is of mbconv alone, got {stage['expand']} for conv")
