"""What a datamodule hands to a module: images with the keys that name them."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Batch:
    """A batch of images, one row per sample.

    Attributes:
        image: (b, c, h, w), uint8 in 0..255 or floating point in 0..1; not yet normalised, since
            teacher and student may want different normalisations.
        target: Class numbers (b,), int64.
        index: Sample numbers in the source (b,), int64: with ``epoch`` the key of a view.
        epoch: The epoch that the view belongs to.
    """

    image: Tensor
    target: Tensor
    index: Tensor
    epoch: int
