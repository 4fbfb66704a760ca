import struct
import warnings
import zlib

import pytest
from PIL import Image

from distill.data.decoding import decode
from tests.data.test_sources import png

LIMIT = 89_478_485  # Pillow's: a quarter of a gibibyte of three bytes each


def claiming(width: int, height: int) -> bytes:
    """A PNG file whose header says that it is so large."""
    whole = png(0)
    header = b"IHDR" + struct.pack(">II", width, height) + whole[24:29]
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (LIMIT + 1, f"{LIMIT + 1} pixels"),
        (2 * LIMIT, f"{2 * LIMIT} pixels"),
        (2 * LIMIT + 1, f"{2 * LIMIT + 1} pixels"),
        (2**40, f"{2**40} pixels"),
    ],
)
def test_a_decompression_bomb_is_refused_in_one_line_by_name(
    pixels: int, told: str, action: str
) -> None:
    width = 2**20 if pixels == 2**40 else 1
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(ValueError, match=r"^cannot read image a/1\.png: ") as caught:
            decode(claiming(width, pixels // width), "a/1.png")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_as_many_pixels_as_pillow_allows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (20, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        assert decode(png(0), "a/1.png").size == (5, 4)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 19)
    with pytest.raises(ValueError, match="20 pixels"):
        decode(png(0), "a/1.png")
