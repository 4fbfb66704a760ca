"""What a task offers so that a student can be put to use, beside what training asks of it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from distill.augment.sheet import tile
from distill.core.batch import Batch, Boxes
from distill.core.outputs import Outputs

Row = dict[str, str | float | list[str] | list[float]]
_SIDE, _GAP, _LINE = 192, 4, 16


@runtime_checkable
class Tells(Protocol):
    """A task that tells what a network says of images: as rows of a table, and as pictures.

    ``distill predict`` asks for rows and pictures, ``distill export`` for the code, and the model
    card for the tag.

    Attributes:
        pipeline_tag: What the large hub calls the task.
        exported: Names of the outputs that an exported file gives.
        numpy_code: Lines of Python that print what these outputs say, those of the only image,
            arrays of numpy, ``np``, by the names in ``classes``; ``image`` is the image itself.
    """

    pipeline_tag: str
    exported: tuple[str, ...]
    numpy_code: str

    def rows(self, outputs: Outputs, classes: Sequence[str], most: int) -> list[Row]:
        """What a network says of each image of a batch: values by column, of at most so many."""

    def pictures(
        self, images: Tensor, outputs: Outputs, classes: Sequence[str]
    ) -> list[Image.Image]:
        """The images (b, c, h, w), uint8, as the network saw them, with what it says drawn in."""


def captioned(images: Tensor, captions: Sequence[str]) -> list[Image.Image]:
    """Draw images (b, c, h, w), uint8, each with a line of text below it.

    Example:
        >>> import torch
        >>> captioned(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), ["a cat"])[0].size
        (192, 212)
    """
    return [_captioned(to_pil_image(i.cpu()), c) for i, c in zip(images, captions, strict=True)]


def drawn(
    images: Tensor, masks: Tensor | None = None, boxes: Boxes | None = None
) -> list[Image.Image]:
    """Draw images (b, c, h, w), uint8, with masks (b, h, w) or boxes in them.

    Example:
        >>> import torch
        >>> drawn(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), masks=torch.ones(1, 8, 8))[0].size
        (192, 192)
    """
    nothing = images.new_zeros(len(images), dtype=torch.int64)
    batch = Batch(images, nothing, nothing, 0, mask=masks, boxes=boxes)
    side = max(_SIDE, *images.shape[-2:])
    return [tile(batch, row, side) for row in range(len(images))]


def _captioned(image: Image.Image, caption: str) -> Image.Image:
    scale = max(1, _SIDE // max(image.size))
    width, height = image.width * scale, image.height * scale
    picture = Image.new("RGB", (width, height + _GAP + _LINE), "white")
    picture.paste(image.convert("RGB").resize((width, height), Image.Resampling.NEAREST))
    ImageDraw.Draw(picture).text((_GAP, height + _GAP // 2), caption, fill="black")
    return picture
