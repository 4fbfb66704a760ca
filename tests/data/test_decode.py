import io
import os
import random
import struct
import subprocess
import traceback
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from torch.utils.data import DataLoader

from distill.core.errors import UnreadableImage
from distill.data.decode import decode, decode_file
from tests.fixtures.sources import pixels, png

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


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def shown(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, "a/1.png")).astype(int)


WIDE = np.random.default_rng(3).integers(0, 65536, (6, 7)).astype(np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_of_grey_are_scaled_to_8(kind: str) -> None:
    image = Image.fromarray(WIDE)
    assert np.array_equal(shown(encoded(image, kind)), np.rint(WIDE / 65535 * 255))


def test_each_shade_of_16_bits_is_rounded_to_the_nearest_of_8() -> None:
    shades = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    seen = shown(encoded(Image.fromarray(shades), "PNG"))
    assert np.array_equal(seen, np.rint(shades / 65535 * 255))
    assert (seen[0, 0], seen[-1, -1]) == (0, 255)


def test_16_bits_of_grey_are_turned_too() -> None:
    notes = Image.Exif()
    notes[0x0112] = 3
    seen = shown(encoded(Image.fromarray(WIDE), "PNG", exif=notes))
    assert np.array_equal(seen, np.rint(WIDE / 65535 * 255)[::-1, ::-1])


def test_a_transparent_shade_of_16_bits_shows_white() -> None:
    shades = np.array([[0, 257, 514]], np.uint16)
    data = encoded(Image.fromarray(shades), "PNG", transparency=257)
    assert shown(data).tolist() == [[0, 255, 2]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_without_a_white_are_refused(mode: str) -> None:
    data = encoded(Image.new(mode, (3, 2), 700), "TIFF")
    with pytest.raises(
        ValueError, match=rf"^cannot read image a/1\.png: its pixels .* mode {mode}"
    ):
        decode(data, "a/1.png")


@pytest.mark.parametrize(("tag", "value"), [(262, 0), (258, 12)])
def test_a_tiff_of_16_bits_with_another_white_is_refused(tag: int, value: int) -> None:
    data = bytearray(encoded(Image.fromarray(WIDE[:, :4]), "TIFF"))
    place = data.index(struct.pack("<HHI", tag, 3, 1)) + 8
    data[place : place + 2] = struct.pack("<H", value)
    with pytest.raises(ValueError, match="a TIFF file of 16 bits needs"):
        decode(bytes(data), "a/1.png")


def on_white(colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    share = opacity[..., None] / 255
    return colours * share + 255 * (1 - share)


OPACITY = np.random.default_rng(4).integers(0, 256, (4, 5)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparent_colours_lie_on_white(kind: str) -> None:
    image = Image.fromarray(np.dstack([pixels(0), OPACITY]))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    seen = shown(encoded(image, kind, **options))
    assert np.abs(seen - on_white(pixels(0), OPACITY)).max() <= 1  # both round


def test_transparent_greys_lie_on_white() -> None:
    grey = pixels(0)[..., :1]
    seen = shown(encoded(Image.fromarray(np.dstack([grey, OPACITY])), "PNG"))
    assert np.abs(seen - on_white(grey, OPACITY)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_entry_of_a_palette_is_white(kind: str) -> None:
    places = np.array([[0, 1], [1, 0]], np.uint8)
    image = Image.fromarray(places, "L").convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    seen = shown(encoded(image, kind, transparency=1))
    assert seen.tolist() == [[[10, 20, 30], [255] * 3], [[255] * 3, [10, 20, 30]]]


def test_a_transparent_colour_is_white() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((0, 0), (9, 8, 7))
    data = encoded(image, "PNG", transparency=(1, 2, 3))
    assert shown(data).tolist() == [[[9, 8, 7], [255] * 3]]


def test_what_is_opaque_keeps_its_colours_bit_for_bit() -> None:
    every = np.stack(np.meshgrid(np.arange(256), np.arange(256)), 2).astype(np.uint8)
    image = np.dstack([every, every[..., :1], np.full((256, 256), 255, np.uint8)])
    assert np.array_equal(shown(encoded(Image.fromarray(image), "PNG")), image[..., :3])


TURNED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: np.rot90(image, 1),
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TIFF of strips", "JPEG"])
@pytest.mark.parametrize("orientation", TURNED)
def test_a_picture_is_turned_as_its_notes_say(orientation: int, kind: str) -> None:
    notes, lying = Image.Exif(), np.kron(pixels(5), np.ones((8, 8, 1), np.uint8))
    notes[0x0112] = orientation
    options: dict[str, object] = {"exif": notes}
    if kind == "TIFF of strips":
        tags = ImageFileDirectory_v2()
        tags[0x0112] = orientation
        options = {"tiffinfo": tags, "compression": "tiff_lzw"}
    if kind == "WEBP":
        options["lossless"] = True
    data = encoded(Image.fromarray(lying), kind.split()[0], **options)
    if kind == "JPEG":
        lying = np.asarray(Image.open(io.BytesIO(data)))  # Pillow shows it as it lies
    assert np.array_equal(shown(data), TURNED[orientation](lying))


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_does_not_exist_turns_nothing(value: int) -> None:
    notes = Image.Exif()
    notes[0x0112] = value
    assert np.array_equal(shown(encoded(Image.fromarray(pixels(0)), "PNG", exif=notes)), pixels(0))


def test_damaged_notes_leave_the_picture_as_it_lies() -> None:
    data = encoded(Image.fromarray(pixels(0)), "WEBP", lossless=True, exif=b"Exif\0\0nonsense")
    assert np.array_equal(shown(data), pixels(0))


def test_a_transparent_and_turned_palette_is_both() -> None:
    image, notes = Image.fromarray(np.array([[0, 1, 1]], np.uint8), "L").convert("P"), Image.Exif()
    image.putpalette([10, 20, 30, 40, 50, 60])
    notes[0x0112] = 8
    seen = shown(encoded(image, "PNG", transparency=0, exif=notes))
    assert seen.tolist() == [[[40, 50, 60]], [[40, 50, 60]], [[255] * 3]]


KINDS = ["JPEG", "MPO", "PNG", "BMP", "PPM", "GIF", "WEBP", "TIFF", "AVIF"]


@pytest.mark.parametrize("kind", KINDS)
def test_these_formats_are_taken(kind: str) -> None:
    pair = {"save_all": True, "append_images": [Image.new("RGB", (16, 8))]} if kind == "MPO" else {}
    seen = decode(encoded(Image.new("RGB", (16, 8), (200, 100, 50)), kind, **pair), "x")
    assert (seen.mode, seen.size) == ("RGB", (16, 8))
    assert np.abs(np.asarray(seen).astype(int) - [200, 100, 50]).max() < 8


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "TGA", "JPEG2000", "ICNS"])
def test_other_formats_are_refused_and_start_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would hand some of them, as EPS, to another program."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(os, "system", started)
    told = "a.png: damaged, or none of AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP$"
    with pytest.raises(UnreadableImage, match=told):
        decode(encoded(Image.new("RGB", (64, 64)), kind), "a.png")


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(UnreadableImage, match=r"^cannot read image a\.png: it is empty$"):
        decode(b"", "a.png")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_damage_of_any_kind_is_told_in_one_line_by_name(kind: str) -> None:
    notes, draw = Image.Exif(), random.Random(kind)  # noqa: S311
    notes[0x0112] = 6
    options = {} if kind in ("BMP", "PPM", "GIF") else {"exif": notes}
    whole = encoded(Image.fromarray(pixels(0)).resize((24, 20)), kind, **options)
    lines = []
    for _ in range(200):
        data = bytearray(whole[: draw.choice([None, draw.randrange(len(whole))])])
        for _ in range(draw.choice([0, 1, 3]) if data else 0):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        try:
            decode(bytes(data), "a/1.png")
        except UnreadableImage as error:
            lines.append(str(error))
    assert len(lines) > 20
    assert all(line.startswith("cannot read image a/1.png: ") for line in lines)
    assert not any("\n" in line for line in lines)


class Damaged:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        decode(b"", "a/1.png")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_worker_hands_on_the_line_alone(workers: int) -> None:
    with pytest.raises(UnreadableImage) as caught:
        list(DataLoader(Damaged(), num_workers=workers))
    traceback.clear_frames(caught.tb)  # in a cycle, a loader's end waits for its workers: 5 s
    assert str(caught.value) == "cannot read image a/1.png: it is empty"
    notes = getattr(caught.value, "__notes__", [])
    assert ["Original Traceback" in note for note in notes] == [True] * workers


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UnreadableImage, match=rf"^cannot read image {tmp_path}/1\.png: No such file"
    ):
        decode_file(tmp_path / "1.png")
