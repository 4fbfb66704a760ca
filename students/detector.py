"""A small one-stage detector without anchors: FCOS (Tian et al., ICCV 2019, arXiv 1904.01355).

Points lie at the centres of cells, ((i + 1/2) s, (j + 1/2) s) for stride s. Distances to the edges
of a box are expectations over bins, as in Generalized Focal Loss (Li et al., NeurIPS 2020, arXiv
2006.04388): d = s sum_j j softmax(z)_j, so localisation can be distilled as a distribution.

Paths to tap: ``backbone.layer1`` to ``backbone.layer3`` of our ResNets, ``neck.outputs.0``,
``neck.outputs.1``, ...: the maps (b, channels, h / s, w / s) of each stride. The head is shared by
all strides and cannot be tapped.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from students.bodies import ResNetBody, TimmBody, TopDown, convolution, make_body
from students.checks import check_sizes

_PRIOR = 0.01


class Neck(nn.Module):
    """Maps of the wanted strides: stages of a body summed from coarse to fine, or halved further.

    Args:
        body: Gives maps of several strides.
        strides: Wanted, each twice the one before.
        channels: Of the results.

    Raises:
        ValueError: If the body has no map of the first stride.
    """

    def __init__(self, body: ResNetBody | TimmBody, strides: Sequence[int], channels: int) -> None:
        super().__init__()
        there = [stride for stride in strides if stride in body.strides]
        if not there or there[0] != strides[0]:
            raise ValueError(f"strides must be some of {body.strides} first, got {tuple(strides)}")
        self._places = [body.strides.index(stride) for stride in there]
        self.sums = TopDown([body.channels[place] for place in self._places], channels)
        self.outputs = nn.ModuleList(convolution(channels, channels) for _ in there)
        more = len(strides) - len(there)
        self.further = nn.ModuleList(convolution(channels, channels, 2) for _ in range(more))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (b, channels, h / s, w / s), one for each stride."""
        sums = self.sums([maps[place] for place in self._places])
        found = [output(each) for output, each in zip(self.outputs, sums, strict=True)]
        for layer in self.further:
            found.append(layer(found[-1]))
        return found


class Head(nn.Module):
    """Two towers of convolutions with group norm, one for classes and one for edges.

    Args:
        channels: Of the maps.
        num_classes: Classes.
        bins: Of the distribution of each edge.
        depth: Convolutions in each tower.
    """

    def __init__(self, channels: int, num_classes: int, bins: int, depth: int = 2) -> None:
        super().__init__()
        self.bins, self.num_classes = bins, num_classes
        self.class_tower = _tower(channels, depth)
        self.edge_tower = _tower(channels, depth)
        self.classes = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.edges = nn.Conv2d(channels, 4 * bins, 3, padding=1)
        nn.init.normal_(self.classes.weight, std=0.01)
        if self.classes.bias is not None:
            nn.init.constant_(self.classes.bias, -math.log((1 - _PRIOR) / _PRIOR))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (b, n, k) and (b, n, 4, bins) of the n = h w cells of maps (b, c, h, w)."""
        classes = self.classes(self.class_tower(maps)).flatten(2).transpose(1, 2)
        edges = self.edges(self.edge_tower(maps)).flatten(2).transpose(1, 2)
        return classes, edges.unflatten(2, (4, self.bins))


class Detector(nn.Module):
    """Classes and boxes at the points of a pyramid of maps.

    Args:
        body: Gives maps of several strides.
        num_classes: Classes.
        strides: Of the maps that objects are found on.
        bins: Of the distribution of each edge: distances reach (bins - 1) strides.
        channels: Of the pyramid's maps.
    """

    def __init__(
        self,
        body: ResNetBody | TimmBody,
        num_classes: int,
        strides: Sequence[int],
        bins: int,
        channels: int,
    ) -> None:
        super().__init__()
        self.backbone = body
        self.neck = Neck(body, strides, channels)
        self.head = Head(channels, num_classes, bins)
        self.strides, self.bins = tuple(strides), bins

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """What is found in images (b, c, h, w), at n points.

        Returns:
            ``classes``: logits (b, n, k) of each class. ``scores``: their probabilities.
            ``edges``: logits (b, n, 4, bins) of the distances to the left, top, right and bottom
            edge, in strides. ``boxes``: (b, n, 4), left, top, right, bottom, in pixels. ``points``:
            (n, 3), x and y in pixels, and the stride.
        """
        maps = self.neck(self.backbone(image))
        classes, edges = (torch.cat(parts, 1) for parts in zip(*map(self.head, maps), strict=True))
        points = torch.cat(
            [points_of(each, stride) for each, stride in zip(maps, self.strides, strict=True)]
        )
        boxes = decoded(edges, points)
        found = {"classes": classes, "scores": classes.sigmoid(), "edges": edges}
        return found | {"boxes": boxes, "points": points}


def points_of(maps: Tensor, stride: int) -> Tensor:
    """The centres of the cells of maps (b, c, h, w): (h w, 3), x, y and the stride."""
    height, width = maps.shape[-2:]
    y = (torch.arange(height, device=maps.device, dtype=torch.float32) + 0.5) * stride
    x = (torch.arange(width, device=maps.device, dtype=torch.float32) + 0.5) * stride
    places = torch.stack([x.repeat(height), y.repeat_interleave(width)], 1)
    return torch.cat([places, torch.full_like(places[:, :1], stride)], 1)


def decoded(edges: Tensor, points: Tensor) -> Tensor:
    """Boxes (b, n, 4) in pixels of the expected distances from points to edges.

    Example:
        >>> decoded(torch.zeros(1, 1, 4, 3), torch.tensor([[8.0, 8.0, 4.0]]))
        tensor([[[ 4.,  4., 12., 12.]]])
    """
    bins = torch.arange(edges.shape[-1], device=edges.device, dtype=torch.float32)
    distance = (edges.float().softmax(-1) * bins).sum(-1) * points[:, 2:]
    place = points[:, :2]
    return torch.cat([place - distance[..., :2], place + distance[..., 2:]], -1)


def detector(
    backbone: str,
    num_classes: int,
    in_channels: int = 3,
    strides: Sequence[int] = (4, 8),
    bins: int = 8,
    channels: int = 32,
    pretrained: bool = False,
) -> nn.Module:
    """Make a detector on a backbone.

    Args:
        backbone: ``resnet8`` to ``resnet110``, ``resnet8x4``, ``resnet32x4``, or ``timm/NAME``.
        num_classes: Classes.
        in_channels: Channels of an image.
        strides: Of the maps that objects are found on, each twice the one before; those beyond the
            backbone's are made by further convolutions.
        bins: Of the distribution of each edge: objects reach (bins - 1) strides to each side.
        channels: Of the pyramid's maps, a multiple of 8.
        pretrained: Whether the backbone has timm's weights.

    Raises:
        ValueError: If there is no such backbone, it has no map of the first stride, or a number is
            out of range.

    Example:
        >>> network = detector("resnet8", num_classes=10, in_channels=1)
        >>> {k: tuple(v.shape) for k, v in network(torch.zeros(2, 1, 48, 48)).items()}["edges"]
        (2, 180, 4, 8)
    """
    check_sizes(num_classes, in_channels)
    if bins < 2:
        raise ValueError(f"bins must be at least 2, got {bins}")
    if channels < 8 or channels % 8:
        raise ValueError(f"channels must be a multiple of 8, got {channels}")
    if not strides or any(far != 2 * near for near, far in pairwise(strides)):
        raise ValueError(f"strides must double from one to the next, got {tuple(strides)}")
    body = make_body(backbone, in_channels, pretrained)
    return Detector(body, num_classes, strides, bins, channels)


def _tower(channels: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
