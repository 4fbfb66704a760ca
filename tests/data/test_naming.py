import io

import pytest
from PIL import Image

from distill.data.naming import begins_an_image, ending, is_hidden, lies_beside, shown


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "PPM", "GIF", "WEBP", "TIFF", "AVIF"])
def test_the_beginning_of_each_format_is_known(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    assert begins_an_image(buffer.getvalue()[:16])


@pytest.mark.parametrize(
    "data", [b"", b"BMW and other cars", b"P5 but", b"RIFF1234WAVE", b"%PDF-1.5", b"text", b"P5x1"]
)
def test_other_beginnings_are_none(data: bytes) -> None:
    assert begins_an_image(data) == (data == b"P5 but")  # two letters are all that such a file has


def test_an_ending_of_numbers_is_none() -> None:
    assert [ending(name) for name in ("a.JFIF", "a", "a.01", "a.b/c", ".x")] == [
        ".jfif",
        "",
        "",
        "",
        "",
    ]


def test_what_lies_beside_images_is_known() -> None:
    assert [lies_beside(name) for name in ("a.txt", "README", "a.heic", "a.xcf")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_hidden_folder_hides_what_is_in_it() -> None:
    names = ["a/.b/c", ".a/b", "a/b", "./a", "a.b/c", "./.a"]
    assert [is_hidden(name) for name in names] == [True, True, False, False, False, True]


def test_a_name_is_one_printable_line() -> None:
    assert shown("a\nb\t\x1b[31mé\udce9") == "a\\nb\\t\\x1b[31mé\\udce9"
