"""Decodes the bytes of an image file to an upright 8-bit image.

All kinds of sources decode by these rules:

- pictures are turned as their EXIF orientation says;
- 16-bit grayscale is scaled to 8 bits, 65535 being white;
- transparent pixels become white;
- of several frames, the first is taken.
"""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from distill.core.errors import UnreadableImage
from distill.data.naming import shown

PIXELS = "2"
"""Version of the rules: raised when a file gives other pixels than before, so caches are stale."""

# The most frequent ones first: Pillow tries them in this order. None of these starts a program.
_FORMATS = ("JPEG", "PNG", "BMP", "PPM", "GIF", "WEBP", "TIFF", "AVIF")
_WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_ORIENTATION = 0x0112  # an EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS, _LIGHT = 258, 262  # TIFF tags
_DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow raises it for a damaged file
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    struct.error,
)
_UNREADABLE = (
    *_DAMAGED,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # raised where warnings are errors
)


def decode(data: bytes, name: str, upright: bool = True) -> Image.Image:
    """Decode an image of at most ``PIL.Image.MAX_IMAGE_PIXELS`` pixels.

    Args:
        data: Content of the file.
        name: Names the image in messages.
        upright: Whether to turn it as its EXIF orientation says.

    Returns:
        An image in grayscale (``L``) or color (``RGB``).

    Raises:
        UnreadableImage: If it is damaged, no image, or has so many pixels that it may be a
            decompression bomb, with its name. It is a ``ValueError``.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        _refuse_bomb(image)
        image.load()
        return _upright(_in_8_bits(image), _orientation(image) if upright else 1)
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"cannot read image {name}: {_unidentified(data)}") from error
    except _UNREADABLE as error:
        detail = " ".join(str(error).split())
        raise UnreadableImage(f"cannot read image {name}: {detail}") from error


def decode_file(path: Path, upright: bool = True) -> Image.Image:
    """Decode an image file, named by its path; see :func:`decode`.

    Raises:
        UnreadableImage: As :func:`decode` does, and if the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"cannot read image {shown(str(path))}: {error.strerror}"
        raise UnreadableImage(message) from error
    return decode(data, shown(str(path)), upright)


def sizes_of(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of an image file as it is shown and as it is stored, from its first bytes.

    Raises:
        UnreadableImage: If it is no image, with its name.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            turned = _orientation(image) in (5, 6, 7, 8)
    except UnidentifiedImageError as error:
        name = shown(str(path))
        raise UnreadableImage(f"cannot read image {name}: {_unidentified(b' ')}") from error
    except _UNREADABLE as error:
        detail = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UnreadableImage(f"cannot read image {shown(str(path))}: {detail}") from error
    return (height, width) if turned else (width, height), (width, height)


def _unidentified(data: bytes) -> str:
    taken = ", ".join(sorted(_FORMATS))
    return f"damaged, or none of {taken}" if data else "it is empty"


def _refuse_bomb(image: Image.Image) -> None:
    """Refuse images that Pillow only warns of; it refuses those with twice as many pixels."""
    pixels, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if most is not None and pixels > most:
        raise ValueError(f"it has {pixels} pixels, more than {most}")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGED:  # damaged metadata: the picture stays as it is
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _in_8_bits(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode[0] in "IF":
        return _scaled(image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return _on_white(image)
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Scale grayscale of 16 bits to 8, rounded."""
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise ValueError(f"its pixels are of Pillow's mode {image.mode}, not of 8 or 16 bits")
    tags = getattr(image, "tag_v2", {})
    if tags and (tags.get(_BITS) != (16,) or tags.get(_LIGHT) != 1):
        raise ValueError("a TIFF file of 16 bits needs all of them, and 0 for black")
    values = np.asarray(image).astype(np.int64)
    if (key := image.info.get("transparency")) is not None:
        values[values == key] = 65535
    return Image.fromarray(((values * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    colors = image.convert("RGBA")
    if colors.getchannel("A").getextrema() == (255, 255):
        return colors.convert("RGB")
    white = Image.new("RGBA", colors.size, "white")
    return Image.alpha_composite(white, colors).convert("RGB")
