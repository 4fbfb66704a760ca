"""The rule by which images of any size become images of one size: the same wherever they are seen.

Training, evaluation, ``distill test``, ``distill predict`` and exports take it from the recipe.
"""

from typing import NamedTuple, cast

import torchvision.transforms.v2.functional as TF
from PIL import Image, ImageOps
from torch import Tensor

from distill.core.preprocessing import CROPPED, Rule


def resized(image: Image.Image, size: tuple[int, int], rule: Rule) -> Tensor:
    """Resize an image by a rule, bilinearly, averaging where it gets smaller.

    Args:
        image: In grayscale or color.
        size: Height and width of the result in pixels; for ``crop`` they are equal.
        rule: How; see ``Rule``.

    Returns:
        The pixels (c, h, w), uint8.

    Example:
        >>> wide = Image.new("L", (4, 2), 255)
        >>> resized(wide, (4, 4), "squash")[0, 0].tolist()
        [255, 255, 255, 255]
        >>> resized(wide, (4, 4), "letterbox")[0, 0].tolist()
        [0, 0, 0, 0]
    """
    if rule == "crop":
        pixels = TF.pil_to_tensor(image)
        shorter = TF.resize(pixels, [round(size[0] / CROPPED)], antialias=True)
        return cast(Tensor, TF.center_crop(shorter, list(size)))
    width_height = size[::-1]
    if image.size != width_height and rule == "squash":
        image = image.resize(width_height, Image.Resampling.BILINEAR)
    elif image.size != width_height:
        image = ImageOps.pad(image, width_height, Image.Resampling.BILINEAR)
    return cast(Tensor, TF.pil_to_tensor(image))


class Letterbox(NamedTuple):
    """Where an image lies in a square that it is letterboxed to.

    Attributes:
        size: Width and height that it gets, in pixels.
        scale: The factors that widths and heights are multiplied by.
        offset: Of its left and its top edge, in pixels.
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[int, int]

    def edges(self, xyxy: tuple[float, float, float, float]) -> list[float]:
        """Left, top, right and bottom edge of a box of the image, as they are in the square."""
        return [
            edge * self.scale[place % 2] + self.offset[place % 2] for place, edge in enumerate(xyxy)
        ]


def letterbox(size: tuple[int, int], side: int) -> Letterbox:
    """Where ``resized`` puts an image by the rule ``letterbox``.

    Args:
        size: Width and height of the image.
        side: Of the square.

    Example:
        >>> letterbox((40, 20), 20)
        Letterbox(size=(20, 10), scale=(0.5, 0.5), offset=(0, 5))
        >>> letterbox((40, 20), 20).edges((8.0, 4.0, 20.0, 20.0))
        [4.0, 7.0, 10.0, 15.0]
    """
    width, height = size
    new_width = side if width >= height else round(width / height * side)
    new_height = side if height >= width else round(height / width * side)
    offset = round((side - new_width) * 0.5), round((side - new_height) * 0.5)
    return Letterbox((new_width, new_height), (new_width / width, new_height / height), offset)


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert an image to grayscale (1 channel) or color (3), as Pillow does."""
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)
