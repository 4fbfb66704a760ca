"""An image from its file's bytes, or one line that names the file and says why not."""

import io

from PIL import Image, UnidentifiedImageError

_UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # raised where warnings are errors
)


def decode(data: bytes, name: str) -> Image.Image:
    """Decode an image of at most ``PIL.Image.MAX_IMAGE_PIXELS`` pixels.

    Args:
        data: What its file holds.
        name: What to call it in a message.

    Raises:
        ValueError: If it is damaged, no image, or has so many pixels that it may be a
            decompression bomb, with its name.
    """
    try:
        image = Image.open(io.BytesIO(data))
        _refuse_bomb(image)
        image.load()
    except _UNREADABLE as error:
        raise ValueError(f"cannot read image {name}: {error}") from error
    return image


def _refuse_bomb(image: Image.Image) -> None:
    """Refuse what Pillow only warns of; more than twice as many pixels it refuses itself."""
    pixels, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if most is not None and pixels > most:
        raise ValueError(f"it has {pixels} pixels, more than {most}")
