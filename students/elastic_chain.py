"""All chains of a space in one network that shares their weights.

Elastic kernel, width, expansion and depth as in Once-for-All (Cai et al., ICLR 2020, arXiv
1908.09791): the first layers of a stage, the first channels of a layer, the middle of a kernel.
Paths to tap: ``stem``, ``stages.0``, ``stages.1``, ...
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from students.chain import check_chain
from students.checks import check_sizes
from students.elastic_layers import ElasticLinear, ElasticUnit
from students.from_architecture import from_architecture
from students.spaces.chain import Chain

Architecture = Mapping[str, Any]
_STEM = {"stem": "width"}


class ElasticLayer(nn.Module):
    """A convolution, or an inverted residual, of which a part is used: see ``students.chain``.

    Args:
        op: ``conv`` or ``mbconv``.
        widths: Channels that come and go, at most.
        kernels: Sizes of the kernel.
        expand: The largest expansion.
        stride: Of the convolution.
    """

    def __init__(
        self, op: str, widths: tuple[int, int], kernels: Sequence[int], expand: int, stride: int
    ) -> None:
        super().__init__()
        before, after = widths
        inner = before * expand
        self.expands, self.stride = expand > 1, stride
        self.ties = stride == 1 and before == after  # in the largest chain, by its skip
        if op == "conv":
            self.units = nn.ModuleList([ElasticUnit(before, after, kernels, stride)])
        else:
            first = [ElasticUnit(before, inner)] if expand > 1 else []
            deep = ElasticUnit(inner, inner, kernels, stride, depthwise=True)
            self.units = nn.ModuleList([*first, deep, ElasticUnit(inner, after)])

    def choose(self, before: int, stage: Architecture) -> None:
        """Use the part that a layer of this stage has."""
        after, kernel, expand = stage["width"], stage["kernel"], stage.get("expand", 1)
        inner = before * expand
        self.expands = expand > 1
        sizes = [(before, inner), (inner, inner, kernel), (inner, after)]
        if stage["op"] == "conv":
            sizes = [(before, after, kernel)]
        for unit, size in zip(self.used(), sizes[-len(self.used()) :], strict=True):
            unit.choose(*size)

    def used(self) -> list[ElasticUnit]:
        """The convolutions that are used: not that of an expansion of one."""
        units: list[Any] = list(self.units)
        return units if self.expands or len(units) < 3 else units[1:]

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c', h', w') of maps (b, c, h, w)."""
        *inside, last = self.used()
        inner = maps
        for unit in inside:
            inner = unit(inner).relu()
        changed: Tensor = last(inner)
        if self.stride == 1 and maps.shape[1] == changed.shape[1]:
            changed = changed + maps
        return changed.relu() if len(self.units) == 1 else changed


class ElasticStage(nn.Module):
    """Layers of which the first are used.

    Args:
        before: Channels that come, at most.
        stage: The largest stage.
        kernels: Sizes of its kernels.
    """

    def __init__(self, before: int, stage: Architecture, kernels: Sequence[int]) -> None:
        super().__init__()
        width, self.depth = stage["width"], stage["depth"]
        self.layers = nn.ModuleList()
        for index in range(self.depth):
            widths = (width if index else before, width)
            stride = 1 if index else stage["stride"]
            self.layers.append(
                ElasticLayer(stage["op"], widths, kernels, stage.get("expand", 1), stride)
            )

    def choose(self, before: int, stage: Architecture) -> None:
        """Use the part that this stage has."""
        self.depth = stage["depth"]
        for layer in self.used():
            layer.choose(before, stage)
            before = stage["width"]

    def used(self) -> list[ElasticLayer]:
        """The layers that are used."""
        layers: list[Any] = list(self.layers)
        return layers[: self.depth]

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c', h', w') of maps (b, c, h, w)."""
        for layer in self.used():
            maps = layer(maps)
        return maps


class ElasticChain(nn.Module):
    """All chains of a space; the largest one is used at first.

    Args:
        space: The chains; neither the operation nor the stride of a stage is a decision.
        num_classes: Classes.
        in_channels: Channels of an image.

    Attributes:
        space: The chains.
        dimensions: What each decision of the space changes: ``kernel``, ``depth``, ``expand`` or
            ``width``.

    Raises:
        ValueError: If a stage has several operations or strides, or a value is not of a chain.
    """

    def __init__(self, space: Chain, num_classes: int, in_channels: int) -> None:
        super().__init__()
        check_sizes(num_classes, in_channels)
        kinds = {name: name.rpartition(".")[2] for name in space.decisions} | _STEM
        for name, kind in kinds.items():
            if kind in ("op", "stride"):
                told = f"{name} must be one value, as all chains share its weights"
                raise ValueError(f"{told}, got {', '.join(map(str, space.decisions[name]))}")
        self.space, self.dimensions = space, kinds
        for design in _one_by_one(space):
            check_chain(space.architecture(design))
        largest = space.architecture([_last(values) for values in space.decisions.values()])
        self.stem = nn.Sequential(ElasticUnit(in_channels, largest["stem"], (3,)), nn.ReLU())
        width, self.stages = largest["stem"], nn.Sequential()
        for index, stage in enumerate(largest["stages"]):
            kernels = space.decisions.get(f"stages.{index}.kernel", (stage["kernel"],))
            self.stages.append(ElasticStage(width, stage, kernels))
            width = stage["width"]
        self.fc = ElasticLinear(width, num_classes)
        self._heads, self._chosen = (num_classes, in_channels), largest

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        logits: Tensor = self.fc(self.stages(self.stem(image)).mean((2, 3)))
        return logits

    def choose(self, architecture: Architecture) -> None:
        """Use the chain that an architecture of the space describes."""
        before = architecture["stem"]
        unit: Any = self.stem[0]
        unit.choose(self._heads[1], before, 3)
        for part, stage in zip(self._stages(), architecture["stages"], strict=True):
            part.choose(before, stage)
            before = stage["width"]
        self._chosen = dict(architecture)

    def extract(self) -> nn.Module:
        """The chosen chain on its own, as ``students.from_architecture`` makes it, with weights."""
        with torch.device("meta"):
            network = from_architecture(self._chosen, *self._heads)
        state = {f"{place}.{name}": v for place, u in self._used() for name, v in u.part().items()}
        width = self._chosen["stages"][-1]["width"]
        state |= {"fc.weight": self.fc.weight[:, :width], "fc.bias": self.fc.bias}
        copied = {name: value.detach().clone() for name, value in state.items()}
        network.load_state_dict(copied, assign=True)
        return network.train(self.training)

    @torch.no_grad()
    def sort_channels(self) -> None:
        """Put first the channels that later layers read with the largest weights, by L1 norm.

        The largest chain computes the same as before, but for the order of its sums.
        """
        for channels in self._channels():
            norms = [each.weight.transpose(0, 1).flatten(1).abs().sum(1) for each in channels.read]
            order = torch.stack(norms).sum(0).argsort(descending=True, stable=True)
            for unit in channels.written:
                unit.reorder(order)
            for reader in channels.read:
                reader.weight.copy_(reader.weight[:, order])

    def _stages(self) -> list[ElasticStage]:
        stages: list[Any] = list(self.stages)
        return stages

    def _used(self) -> Iterator[tuple[str, ElasticUnit]]:
        """The units of the chosen chain, by their paths in it on its own."""
        stem: Any = self.stem[0]
        yield "stem.0", stem
        for number, stage in enumerate(self._stages()):
            for index, layer in enumerate(stage.used()):
                for place, unit in enumerate(layer.used()):
                    yield f"stages.{number}.{index}.body.{2 * place}", unit

    def _channels(self) -> "Iterator[_Channels]":
        """The channels that have one order, in the largest chain, with what writes and reads them.

        A skip ties what it adds, and a depthwise convolution what it reads and writes.
        """
        stem: Any = self.stem[0]
        maps = _Channels([stem])
        layers: Any = chain.from_iterable(stage.layers for stage in self._stages())
        for layer in layers:
            units = list(layer.units)
            inside = units[:-1]
            if len(units) == 3:
                maps.read.append(units[0].convolution)
                yield _Channels(inside, [units[-1].convolution])
            else:
                maps.written += inside
                maps.read.append(units[-1].convolution)
            if not layer.ties:
                yield maps
                maps = _Channels([])
            maps.written.append(units[-1])
        maps.read.append(self.fc)
        yield maps


@dataclass
class _Channels:
    written: list[Any]
    read: list[Any] = field(default_factory=list)


def elastic_chain(
    stem: int | list[int], stages: list[dict[str, Any]], num_classes: int, in_channels: int = 3
) -> nn.Module:
    """A network that holds all chains of a space, for :class:`distill.modules.OnceForAll`.

    Args:
        stem: Channels that the first convolution may have.
        stages: Of each stage, the values of ``op`` (one alone), ``width``, ``depth``, ``kernel``,
            ``expand`` and ``stride`` (one alone), as :class:`students.spaces.Chain` takes them.
        num_classes: Classes; at least 1.
        in_channels: Channels of an image; at least 1.

    Raises:
        ValueError: If they are no space of chains that can share weights.

    Example:
        >>> stage = dict(op="conv", width=[8, 16], depth=[1, 2], kernel=[3, 5], expand=1, stride=2)
        >>> network = elastic_chain(stem=8, stages=[stage], num_classes=10)
        >>> smallest = network.space.architecture([0, 0, 0])
        >>> network.choose(smallest)
        >>> sum(p.numel() for p in network.extract().parameters())
        914
    """
    return ElasticChain(Chain(stem, stages), num_classes, in_channels)


def _last(values: Sequence[int]) -> int:
    """The index of the largest value."""
    return max(range(len(values)), key=values.__getitem__)


def _one_by_one(space: Chain) -> Iterator[list[int]]:
    """Designs that have each value of each decision once."""
    first = [0] * len(space.decisions)
    yield first
    for place, values in enumerate(space.decisions.values()):
        for index in range(1, len(values)):
            yield [*first[:place], index, *first[place + 1 :]]
