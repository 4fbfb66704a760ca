"""What a datamodule hands to a module: images with the keys that name them."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

IGNORED = 255
"""The class of a mask's pixels that nothing is known about; losses leave them out."""


@dataclass
class Boxes:
    """The boxes of a batch, all images' in one list.

    Attributes:
        xyxy: Left, top, right and bottom edge (m, 4), floating point, in pixels: the box of pixel
            (row 0, column 2) alone is (2, 0, 3, 1).
        image: The row of the batch that each box belongs to (m,), int64.
        label: Class numbers (m,), int64.
        ignored: Whether a box is left out of training and figures (m,), bool, as crowds and
            difficult objects are; none are by default.

    Raises:
        ValueError: If the edges are whole numbers, which cannot be moved by parts of a pixel.
    """

    xyxy: Tensor
    image: Tensor
    label: Tensor
    ignored: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))

    def __post_init__(self) -> None:
        if not len(self.ignored):
            self.ignored = torch.zeros_like(self.label, dtype=torch.bool)
        if not self.xyxy.is_floating_point():
            raise ValueError(f"xyxy of boxes must be floating point, got {self.xyxy.dtype}")

    def where(self, kept: Tensor) -> "Boxes":
        """Those boxes that a mask or index (m,) chooses."""
        return Boxes(self.xyxy[kept], self.image[kept], self.label[kept], self.ignored[kept])


@dataclass
class Batch:
    """A batch of images, one row per sample.

    Attributes:
        image: (b, c, h, w), uint8 in 0..255 or floating point in 0..1; not yet normalised, since
            teacher and student may want different normalisations.
        target: Class numbers (b,), int64; of mixed images the share of each class (b, k); of text
            lines the class numbers of their characters in order (b, l), int64, with 0, the blank of
            CTC, in the places that a shorter line does not need.
        index: Sample numbers in the source (b,), int64: with ``epoch`` the key of a view; -1 where
            there are none.
        epoch: The epoch that the view belongs to.
        step: The number of the batch in the run, the same in all processes.
        mask: The class of every pixel (b, h, w), integers; 255 where it is not known.
        boxes: Labelled boxes.
        keyed: Whether images have such keys; those of a plain loader have none.
        bank: Whether an image is a labelled one that others are classified by (b,), bool.

    Raises:
        ValueError: If the mask has another size than the images.
    """

    image: Tensor
    target: Tensor
    index: Tensor
    epoch: int
    step: int = 0
    mask: Tensor | None = None
    boxes: Boxes | None = None
    keyed: bool = True
    bank: Tensor | None = None

    def __post_init__(self) -> None:
        expected = (len(self.image), *self.image.shape[-2:])
        if self.mask is not None and self.mask.shape != expected:
            shape = tuple(self.mask.shape)
            raise ValueError(
                f"a mask must have its images' size, (b, h, w) = {expected}, got {shape}"
            )

    @property
    def line_length(self) -> int | None:
        """The most characters of a text line; None where an image has one class."""
        of_lines = self.target.ndim == 2 and not self.target.is_floating_point()
        return self.target.shape[1] if of_lines else None
