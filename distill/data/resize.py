"""The rule by which images of any size become images of one size: the same wherever they are seen.

Training, evaluation, ``distill test``, ``distill predict`` and exports take it from the recipe.
"""

from typing import cast

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


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert an image to grayscale (1 channel) or color (3), as Pillow does."""
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)
