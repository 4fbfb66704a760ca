"""Pastes objects of one image of the batch into another.

With boxes these are instances, as in Simple Copy-Paste (Ghiasi et al., CVPR 2021, arXiv
2012.07177); with a mask alone they are whole classes, as in ClassMix (Olsson et al., WACV 2021,
arXiv 2007.07936). They stay where they were: a RandomAffine before it moves and scales them.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.augment.boxes import LEAST_VISIBLE, joined, reordered, require_places
from distill.augment.checks import check_number, check_whole
from distill.augment.draws import bernoulli_mask, partners
from distill.core.batch import IGNORED, Batch, Boxes
from distill.core.randomness import fold, uniform


class CopyPaste(nn.Module):
    """Puts about half of the objects of another image into each image.

    With boxes alone, what is inside a box is pasted; with a mask too, only its pixels that belong
    to an object. A box comes along, or stays, where at least a tenth of its object does: pieces of
    other objects in a pasted box bring their boxes too. Targets stay.

    Args:
        background: The class of a mask's pixels that belong to no object.
        probability: Of an image to be pasted into, in 0..1.

    Raises:
        ValueError: If an argument is outside its range, or a batch has neither mask nor boxes.
    """

    mixes = True

    def __init__(self, background: int = 0, probability: float = 0.5) -> None:
        super().__init__()
        check_whole("background", background, 0, 255)
        check_number("probability", probability, 0, 1)
        self.background, self.probability = background, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Paste into every chosen image of a batch."""
        require_places(batch, "CopyPaste")
        rows = bernoulli_mask(fold(key, "pasted"), batch.index, self.probability)
        partner = partners(fold(key, "partner"), batch.index)
        rows &= partner != torch.arange(len(partner), device=partner.device)
        other = reordered(batch, partner)
        pasted = self._pasted(fold(key, "objects"), batch.index, other) & rows[:, None, None]
        image = torch.where(pasted[:, None], other.image, batch.image)
        mask, boxes = batch.mask, batch.boxes
        if mask is not None and other.mask is not None:
            mask = torch.where(pasted, other.mask, mask)
        if boxes is not None and other.boxes is not None:
            stay = seen(boxes, self._objects(batch), ~pasted)
            come = seen(other.boxes, self._objects(other), pasted)
            come &= _inside(other.boxes, pasted) > 0
            boxes = joined(boxes.where(stay), other.boxes.where(come))
        return replace(batch, image=image, mask=mask, boxes=boxes)

    def _objects(self, batch: Batch) -> Tensor:
        """Mask (b, h, w) of pixels that may belong to an object, unknown pixels included."""
        if batch.mask is None:
            return torch.ones_like(batch.image[:, 0], dtype=torch.bool)
        return batch.mask != self.background

    def _pasted(self, key: int, samples: Tensor, other: Batch) -> Tensor:
        """Mask (b, h, w) of the pixels of the other images to paste."""
        if other.boxes is None and other.mask is not None:
            half = uniform(key, samples, IGNORED + 1) < 0.5
            half[:, [self.background, IGNORED]] = False
            return half.gather(1, other.mask.flatten(1).long()).view(other.mask.shape)
        pasted = torch.zeros_like(other.image[:, 0], dtype=torch.bool)
        if other.boxes is not None:
            taken = other.boxes.where(_half_of_boxes(key, samples, other.boxes))
            edges = _whole(taken, pasted).tolist()
            rows = taken.image.tolist()
            for row, (left, top, right, bottom) in zip(rows, edges, strict=True):
                pasted[row, top:bottom, left:right] = True
        if other.mask is not None:
            pasted &= (other.mask != self.background) & (other.mask != IGNORED)
        return pasted


def _half_of_boxes(key: int, samples: Tensor, boxes: Boxes) -> Tensor:
    """Draw a mask (m,) of boxes, each with probability 1/2, by its number in its image."""
    if not len(boxes.image):
        return boxes.image.bool()
    number = (boxes.image[:, None] == boxes.image).tril(-1).sum(1, keepdim=True)
    draws = uniform(key, samples[boxes.image], int(number.max()) + 1)
    return draws.gather(1, number).squeeze(1) < 0.5


def seen(boxes: Boxes, objects: Tensor, shown: Tensor) -> Tensor:
    """Whether boxes (m,) show at least a tenth of their objects' pixels.

    Args:
        boxes: In whole images.
        objects: The pixels (b, h, w) of all objects.
        shown: The pixels (b, h, w) that are not hidden.
    """
    whole, left = _inside(boxes, objects), _inside(boxes, objects & shown)
    return left >= LEAST_VISIBLE * whole


def _inside(boxes: Boxes, pixels: Tensor) -> Tensor:
    """Count the pixels (b, h, w) in each box (m,)."""
    left, top, right, bottom = _whole(boxes, pixels).unbind(1)
    below = F.pad(pixels.long().cumsum(1).cumsum(2), (1, 0, 1, 0))
    row = boxes.image
    lower = below[row, bottom, right] - below[row, bottom, left]
    return lower - (below[row, top, right] - below[row, top, left])


def _whole(boxes: Boxes, pixels: Tensor) -> Tensor:
    """Round edges to whole pixels (m, 4), int64, inside the image."""
    height, width = pixels.shape[-2:]
    limit = boxes.xyxy.new_tensor([width, height, width, height])
    return boxes.xyxy.round().clamp(min=0).minimum(limit).long()
