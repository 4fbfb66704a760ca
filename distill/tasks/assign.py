"""Which point of a detector answers for which box.

As in FCOS (Tian et al., ICCV 2019, arXiv 1904.01355) with centre sampling: a point takes a box that
it lies in, within 1.5 strides of the box's centre, on the first stride s with sqrt(area) <= 5 s; of
several the smallest. The valuable region is that of LD (Zheng et al., CVPR 2022, arXiv 2102.12252):
places beside the box whose anchors overlap it less than those of positive places, but not little.
"""

import torch
from torch import Tensor
from torchvision.ops import box_iou, distance_box_iou

from distill.core.batch import Boxes

GROUND, IGNORED_POINT = -1, -100
_CENTRE, _LARGEST, _ANCHOR, _NEAREST, _LEAST = 1.5, 5.0, 8.0, 9, 0.25


def assign(points: Tensor, boxes: Boxes, images: int) -> Tensor:
    """The box of each point.

    Args:
        points: (n, 3): x and y in pixels, and the stride.
        boxes: Of the batch.
        images: Images in the batch.

    Returns:
        (images, n), int64: the number of the box; -1 ground; -100 in a box that is ignored.

    Example:
        >>> boxes = Boxes(torch.tensor([[0.0, 0, 8, 8]]), torch.tensor([0]), torch.tensor([3]))
        >>> assign(torch.tensor([[4.0, 4, 8], [12.0, 4, 8]]), boxes, images=1)
        tensor([[ 0, -1]])
    """
    n, m = len(points), len(boxes.label)
    found = torch.full((images, n), GROUND, device=points.device)
    if m == 0:
        return found
    inside = _inside(points, boxes.xyxy)
    rows = boxes.image[:, None].expand(m, n)
    hidden = torch.zeros((images, n), dtype=torch.int64, device=points.device)
    hidden.scatter_add_(0, rows, (inside & boxes.ignored[:, None]).long())
    found[hidden > 0] = IGNORED_POINT
    takes = inside & _central(points, boxes.xyxy) & _of_level(points, boxes.xyxy)
    takes &= ~boxes.ignored[:, None]
    area = _area(boxes.xyxy)[:, None].expand(m, n)
    best = torch.full((images, n), torch.inf, device=points.device, dtype=area.dtype)
    best.scatter_reduce_(0, rows, area.masked_fill(~takes, torch.inf), "amin")
    number = torch.arange(m, device=points.device)[:, None].expand(m, n)
    first = torch.full((images, n), m, device=points.device)
    number = number.masked_fill(~(takes & (area == best[boxes.image])), m)
    first.scatter_reduce_(0, rows, number, "amin")
    return torch.where(first < m, first, found)


def valuable(points: Tensor, boxes: Boxes, owner: Tensor) -> Tensor:
    """Whether a point is beside a box, not in it: (images, n), bool.

    Anchors are squares of 8 strides around the points. With a the mean and standard deviation,
    added, of the overlaps of the 9 anchors nearest to the box on each stride, the point's anchor
    has a DIoU from a / 4 up to a.

    Args:
        points: As in :func:`assign`.
        boxes: Of the batch.
        owner: What :func:`assign` gave.
    """
    found = torch.zeros_like(owner, dtype=torch.bool)
    kept = boxes.where(~boxes.ignored)
    if len(kept.label) == 0:
        return found
    half = points[:, 2:] * _ANCHOR / 2
    anchors = torch.cat([points[:, :2] - half, points[:, :2] + half], 1)
    overlap = box_iou(kept.xyxy, anchors)
    centre = (kept.xyxy[:, :2] + kept.xyxy[:, 2:]) / 2
    distance = torch.cdist(centre, points[:, :2])
    near = []
    for stride in _strides(points):
        on = (points[:, 2] == stride).nonzero().flatten()
        nearest = distance[:, on].topk(min(_NEAREST, len(on)), largest=False).indices
        near.append(overlap[:, on].gather(1, nearest))
    near_all = torch.cat(near, 1)
    bound = near_all.mean(1, keepdim=True) + near_all.std(1, unbiased=True, keepdim=True)
    distant = distance_box_iou(kept.xyxy, anchors)
    beside = (distant >= _LEAST * bound) & (distant < bound)
    count = torch.zeros_like(owner)
    count.scatter_add_(0, kept.image[:, None].expand_as(beside), beside.long())
    return (count > 0) & (owner == GROUND)


def distances(points: Tensor, xyxy: Tensor) -> Tensor:
    """From points (m, 3) to the edges of their boxes (m, 4): left, top, right, bottom, in strides.

    Example:
        >>> distances(torch.tensor([[4.0, 4, 8]]), torch.tensor([[0.0, 0, 16, 8]]))
        tensor([[0.5000, 0.5000, 1.5000, 0.5000]])
    """
    place, stride = points[:, :2], points[:, 2:]
    return torch.cat([place - xyxy[:, :2], xyxy[:, 2:] - place], 1) / stride


def _inside(points: Tensor, xyxy: Tensor) -> Tensor:
    x, y = points[:, 0], points[:, 1]
    left, top, right, bottom = xyxy[:, :, None].unbind(1)
    return (x > left) & (x < right) & (y > top) & (y < bottom)


def _central(points: Tensor, xyxy: Tensor) -> Tensor:
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    gap = (points[None, :, :2] - centre[:, None]).abs().amax(2)
    return gap <= _CENTRE * points[:, 2]


def _of_level(points: Tensor, xyxy: Tensor) -> Tensor:
    strides = _strides(points)
    fits = _area(xyxy).sqrt()[:, None] <= _LARGEST * strides
    fits[:, -1] = True  # the coarsest takes what is larger
    level = strides[fits.int().argmax(1)]
    same: Tensor = points[:, 2] == level[:, None]
    return same


def _area(xyxy: Tensor) -> Tensor:
    sides = xyxy[:, 2:] - xyxy[:, :2]
    return sides[:, 0] * sides[:, 1]


def _strides(points: Tensor) -> Tensor:
    """The different strides, in ascending order."""
    found: Tensor = torch.unique(points[:, 2])
    return found
