"""Losses on boxes, all from the intersection over union (IoU) of paired boxes (x1, y1, x2, y2).

IoU and generalised IoU: Rezatofighi et al., CVPR 2019, arXiv 1902.09630; the first IoU loss, of
UnitBox (arXiv 1608.01471), is -log IoU, which is infinite for boxes that are apart. Distance and
complete IoU: Zheng et al., AAAI 2020, arXiv 1911.08287.

All are invariant to translation and scale, so each pair is divided by its largest coordinate, and a
ratio over 0 is 0: no constant is added that would change small boxes. A box without area has IoU 0
with every box. Where x2 < x1 or y2 < y1 a predicted box has no area either, and a target is
refused: it is often (x, y, w, h).
"""

import math

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32
from distill.losses.kernels import scale_to_unit_max


def iou_loss(input: Tensor, target: Tensor) -> Tensor:
    """1 - IoU; without a gradient where the boxes are apart.

    Args:
        input: Boxes (n, 4) as x1, y1, x2, y2 with x1 <= x2, y1 <= y2, in any unit.
        target: Boxes (n, 4), in pairs with the input's.

    Returns:
        The mean over pairs, in 0..1; 0 with a gradient of 0 if there are none.

    Raises:
        ValueError: If the shapes differ or are not (n, 4), or a target has x2 < x1 or y2 < y1
            (checked on the CPU only: elsewhere it would make the device wait).

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> iou_loss(box, box + torch.tensor([1.0, 0.0, 1.0, 0.0]))  # a third in common
        tensor(0.6667)
    """
    a, b = _pairs(input, target)
    return _mean(1 - _overlap(a, b)[0])


def giou_loss(input: Tensor, target: Tensor) -> Tensor:
    """1 - IoU + the share of the smallest box around both that neither covers.

    Args:
        input: See :func:`iou_loss`.
        target: See :func:`iou_loss`.

    Returns:
        The mean over pairs, in 0..2, above 1 where the boxes are apart; 0 with a gradient of 0 if
        there are none.

    Raises:
        ValueError: See :func:`iou_loss`.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        >>> giou_loss(box, box + torch.tensor([2.0, 0.0, 2.0, 0.0]))  # a third between them
        tensor(1.3333)
    """
    a, b = _pairs(input, target)
    iou, union = _overlap(a, b)
    width, height = _around(a, b).unbind(1)
    return _mean(1 - iou + _ratio(width * height - union, width * height))


def diou_loss(input: Tensor, target: Tensor) -> Tensor:
    """1 - IoU + squared distance of the centres / squared diagonal of the box around both.

    Args:
        input: See :func:`iou_loss`.
        target: See :func:`iou_loss`.

    Returns:
        The mean over pairs, in 0..2; 0 with a gradient of 0 if there are none.

    Raises:
        ValueError: See :func:`iou_loss`.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        >>> diou_loss(box, box + torch.tensor([2.0, 0.0, 2.0, 0.0]))  # 1 + 4 / 10
        tensor(1.4000)
    """
    a, b = _pairs(input, target)
    return _mean(_distance_terms(a, b)[0])


def ciou_loss(input: Tensor, target: Tensor) -> Tensor:
    """The DIoU loss + alpha v, v = 4 / pi^2 (arctan(w / h) - arctan(w_t / h_t))^2.

    alpha = v / (1 - IoU + v) is a weight without gradient, as in the paper (eq. 12) and in
    torchvision. The gradient of v is its own: the authors' code drops its factor 1 / (w^2 + h^2).

    Args:
        input: See :func:`iou_loss`.
        target: See :func:`iou_loss`.

    Returns:
        The mean over pairs, in 0..3; 0 with a gradient of 0 if there are none. For a box without
        width and height v is 0.

    Raises:
        ValueError: See :func:`iou_loss`.

    Example:
        >>> flat, square = torch.tensor([[0.0, 0.0, 4.0, 1.0], [0.0, 0.0, 2.0, 2.0]]).split(1)
        >>> f"{diou_loss(flat, square):.4f} {ciou_loss(flat, square):.4f}"
        '0.7292 0.7470'
    """
    a, b = _pairs(input, target)
    values, iou = _distance_terms(a, b)
    gap = (_shape_angle(a) - _shape_angle(b)).square()
    v = 4 / math.pi**2 * torch.where(_has_size(a) & _has_size(b), gap, 0.0)
    alpha = _ratio(v, 1 - iou + v).detach()
    return _mean(values + alpha * v)


class IoULoss(nn.Module):
    """Module form of :func:`iou_loss`, for recipes.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> IoULoss()(box, box + torch.tensor([1.0, 0.0, 1.0, 0.0]))
        tensor(0.6667)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`iou_loss`."""
        return iou_loss(input, target)


class GIoULoss(nn.Module):
    """Module form of :func:`giou_loss`, for recipes.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> GIoULoss()(box, box + torch.tensor([4.0, 0.0, 4.0, 0.0]))  # 1 + 4 / 12
        tensor(1.3333)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`giou_loss`."""
        return giou_loss(input, target)


class DIoULoss(nn.Module):
    """Module form of :func:`diou_loss`, for recipes.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> DIoULoss()(box, box + torch.tensor([4.0, 0.0, 4.0, 0.0]))  # 1 + 16 / 40
        tensor(1.4000)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`diou_loss`."""
        return diou_loss(input, target)


class CIoULoss(nn.Module):
    """Module form of :func:`ciou_loss`, for recipes.

    Example:
        >>> flat, square = torch.tensor([[0.0, 0.0, 4.0, 1.0], [0.0, 0.0, 2.0, 2.0]]).split(1)
        >>> CIoULoss()(flat, square) > DIoULoss()(flat, square)
        tensor(True)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`ciou_loss`."""
        return ciou_loss(input, target)


def _pairs(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Check boxes (n, 4) and divide each pair by its largest coordinate."""
    if input.shape != target.shape or input.ndim != 2 or input.shape[1] != 4:
        shapes = f"got shapes {tuple(input.shape)} and {tuple(target.shape)}"
        raise ValueError(f"input and target need the same shape (n, 4), {shapes}")
    if not input.is_floating_point():
        raise ValueError(f"input needs floating-point boxes, got {input.dtype}")
    inverted = (target[:, :2] > target[:, 2:]).any(1)
    if target.device.type == "cpu" and inverted.any():
        first = target[inverted][0].tolist()
        raise ValueError(f"target needs boxes x1, y1, x2, y2 with x1 <= x2, y1 <= y2, got {first}")
    both = torch.cat([at_least_float32(input), at_least_float32(target.detach())], dim=1)
    a, b = scale_to_unit_max(both, dim=1).chunk(2, dim=1)
    return a, b


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and union (n,)."""
    left_top, right_bottom = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    overlap = _area(torch.cat([left_top, right_bottom], dim=1))
    union = _area(a) + _area(b) - overlap
    return _ratio(overlap, union), union


def _distance_terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The DIoU loss and the IoU of each pair (n,)."""
    iou, _ = _overlap(a, b)
    gap = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    diagonal = _around(a, b).square().sum(1)
    return 1 - iou + _ratio(gap.square().sum(1), diagonal), iou


def _around(a: Tensor, b: Tensor) -> Tensor:
    """Width and height (n, 2) of the smallest box around both."""
    corners = torch.stack([a[:, :2], a[:, 2:], b[:, :2], b[:, 2:]])
    return corners.amax(0) - corners.amin(0)


def _size(box: Tensor) -> Tensor:
    """Width and height (n, 2), at least 0."""
    return (box[:, 2:] - box[:, :2]).clamp_min(0)


def _area(box: Tensor) -> Tensor:
    width, height = _size(box).unbind(1)
    return width * height


def _has_size(box: Tensor) -> Tensor:
    """Whether a box (n, 4) has an aspect ratio: width or height."""
    size = _size(box.detach())
    return size.square().sum(1) > torch.finfo(size.dtype).tiny


def _shape_angle(box: Tensor) -> Tensor:
    """arctan(width / height) (n,), with a finite gradient where both are 0."""
    size = torch.where(_has_size(box).unsqueeze(1), _size(box), 1.0)
    return torch.atan2(size[:, 0], size[:, 1])


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide; 0 without gradient where the denominator is 0; NaN stays NaN."""
    positive = ~(denominator.detach() <= torch.finfo(denominator.dtype).tiny)
    return torch.where(positive, numerator / torch.where(positive, denominator, 1.0), 0.0)


def _mean(values: Tensor) -> Tensor:
    return values.sum() / max(len(values), 1)
