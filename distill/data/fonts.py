"""Fonts that can draw an alphabet, and text drawn in them."""

import os
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SIZE = 48
_SUFFIXES = (".ttf", ".otf", ".ttc")
# Linux, macOS, Windows.
_SYSTEM = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
    os.path.join(os.environ.get("WINDIR", "C:\\Windows"), "Fonts"),
)


def find_fonts(given: str | Sequence[str] | None, alphabet: str) -> list[ImageFont.FreeTypeFont]:
    """Find fonts that draw every character of an alphabet, no two alike.

    Args:
        given: A folder or a font file, or several; None: the folders where systems keep fonts, or
            the one font in Pillow's package if there is none there.
        alphabet: The characters.

    Returns:
        Fonts, in the order of their paths, without those of a folder that lack a character.

    Raises:
        ValueError: If a path is missing, a file is no font that draws the alphabet, or there is
            none at all.
    """
    if given is None:
        paths = [Path(folder).expanduser() for folder in _SYSTEM]
        found = [font for path in paths for font in _in_folder(path, alphabet)]
        found = found or _drawing(_pillow_font(), alphabet)
    else:
        paths = [Path(path).expanduser() for path in ([given] if isinstance(given, str) else given)]
        found = [font for path in paths for font in _in(path, alphabet)]
    if not found:
        where = ", ".join(map(str, paths))
        raise ValueError(f"fonts needs some that draw all of {alphabet!r}, got none in {where}")
    return found


def drawn(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Draw a text in white on black, cropped to its ink; about 48 pixels to the em."""
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (max(1, ceil(right - left)), max(1, ceil(bottom - top))))
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font)
    return image.crop(image.getbbox())


def _in(path: Path, alphabet: str) -> list[ImageFont.FreeTypeFont]:
    if path.is_dir():
        return _in_folder(path, alphabet)
    if not path.exists():
        raise ValueError(f"fonts needs folders or font files, {path} is missing")
    if not (found := _drawing(_loaded(path), alphabet)):
        raise ValueError(f"fonts needs some that draw all of {alphabet!r}, {path} does not")
    return found


def _in_folder(folder: Path, alphabet: str) -> list[ImageFont.FreeTypeFont]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    return [font for path in paths for font in _drawing(_loaded(path), alphabet)]


def _loaded(path: Path) -> list[ImageFont.FreeTypeFont]:
    """Load the font of a file; none if it is not one, or one of bitmaps."""
    try:
        # Not Raqm, which is not everywhere and may place letters differently.
        return [ImageFont.truetype(str(path), _SIZE, layout_engine=ImageFont.Layout.BASIC)]
    except OSError:
        return []


def _pillow_font() -> list[ImageFont.FreeTypeFont]:
    font = ImageFont.load_default(_SIZE)
    return [font] if isinstance(font, ImageFont.FreeTypeFont) else []


def _drawing(fonts: list[ImageFont.FreeTypeFont], alphabet: str) -> list[ImageFont.FreeTypeFont]:
    """Select the fonts that draw every character, and no two alike."""
    return [font for font in fonts if len(_shapes(font, alphabet)) == len(alphabet)]


def _shapes(font: ImageFont.FreeTypeFont, alphabet: str) -> set[bytes]:
    """Draw the characters and keep different pictures; none of a font that does not draw."""
    try:
        shapes = {_shape(character, font) for character in alphabet}
        # What is drawn for U+10FFFF, which is no character, is drawn for all that the font lacks.
        return shapes - {_shape(" ", font), _shape("\U0010ffff", font)}
    except OSError:
        return set()


def _shape(character: str, font: ImageFont.FreeTypeFont) -> bytes:
    image = Image.new("L", (3 * _SIZE, 3 * _SIZE))
    ImageDraw.Draw(image).text((_SIZE, 2 * _SIZE), character, fill=255, font=font, anchor="ls")
    return image.tobytes()
