"""Perspective distortion: the corners of each image drawn inwards by their own amounts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill.augment.checks import check_number
from distill.augment.draws import bernoulli_mask
from distill.augment.warp import warp
from distill.core.batch import Batch
from distill.core.randomness import fold, uniform


class RandomPerspective(nn.Module):
    """Views each image at a slant; pixels from outside are black.

    Args:
        distortion: Each corner moves inwards by up to this share of half the width and half the
            height, in 0..0.66: beyond two thirds the image could be turned inside out.
        probability: Of an image to be distorted, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, distortion: float = 0.5, probability: float = 0.5) -> None:
        super().__init__()
        check_number("distortion", distortion, 0, 0.66)
        check_number("probability", probability, 0, 1)
        self.distortion, self.probability = distortion, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Distort every chosen image of a batch."""
        size = batch.image.shape[-2:]
        moved = bernoulli_mask(fold(key, "moved"), batch.index, self.probability)
        inwards = uniform(fold(key, "corners"), batch.index, 8).double() * self.distortion / 2
        inwards = torch.where(moved[:, None], inwards, 0).view(-1, 4, 2)
        corners = inwards.new_tensor([[0, 0], [1, 0], [1, 1], [0, 1]])
        return warp(batch, quadrilateral(corners + inwards * (1 - 2 * corners), size))


def quadrilateral(corners: Tensor, size: Sequence[int]) -> Tensor:
    """Make matrices (b, 3, 3) that take the whole image to a quadrilateral (Heckbert, 1989).

    Args:
        corners: New places (b, 4, 2) of the corners, clockwise from the top left, as x and y in
            shares of width and height, float64.
        size: Height and width of the images.
    """
    corners = corners * corners.new_tensor([size[1], size[0]])
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(1) for corner in corners.unbind(1))
    ax, bx, cx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    ay, by, cy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    depth = ax * by - bx * ay
    g, h = (cx * by - bx * cy) / depth, (ax * cy - cx * ay) / depth
    across = [(x1 - x0 + g * x1) / size[1], (x3 - x0 + h * x3) / size[0], x0]
    down = [(y1 - y0 + g * y1) / size[1], (y3 - y0 + h * y3) / size[0], y0]
    cells = [*across, *down, g / size[1], h / size[0], torch.ones_like(g)]
    return torch.stack(cells, 1).view(-1, 3, 3)
