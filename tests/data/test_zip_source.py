import io
import os
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.data.sources import open_source, open_unlabelled
from tests.fixtures.sources import pixels, png, zipped

FILES = {f"{name}/{number}.png": png(number) for name in ("ant", "bee") for number in range(3)}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_class_folders_of_a_zip_are_read(tmp_path: Path, method: int) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("set")
        archive.mkdir("set/empty")
        for name, data in FILES.items():
            archive.writestr(f"set/{name}", data)
        archive.writestr("__MACOSX/set/ant/._0.png", b"?")
        archive.writestr("set/ant/without", png(3))
    told = r"left out 2 folders without images \(__MACOSX, set/empty\)$"
    with pytest.warns(UserWarning, match=told):
        source = open_source(str(path))
    assert source.classes == ("ant", "bee")
    assert source.targets.tolist() == [0, 0, 0, 0, 1, 1, 1]
    for number in range(4):
        assert np.array_equal(np.asarray(source.image(number)), pixels(number))
    assert source.name(4) == f"{path}:set/bee/0.png"
    with pytest.warns(UserWarning, match="left out"):
        stamp = open_source(str(path)).stamp()
    os.utime(path, ns=(0, 0))
    assert source.stamp() != stamp


def test_a_link_is_left_out_and_counted(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("ant/9.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../bee/0.png")
    with pytest.warns(UserWarning, match=rf"^{path}: left out 1 link$"):
        assert len(open_unlabelled(str(path)).targets) == 6


def test_an_encrypted_or_otherwise_compressed_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", FILES)
    whole = path.read_bytes()
    place = whole.index(b"PK\1\2")
    flags, method = place + 8, place + 10
    for byte, value, told in (
        (flags, 1, "is encrypted"),
        (method, 14, "by a method that is not supported"),
    ):
        data = bytearray(whole)
        data[byte] = value
        path.write_bytes(data)
        with pytest.raises(
            ValueError, match=rf"^{path} is .*{told.removeprefix('is ')}.*: unpack it$"
        ):
            open_source(str(path))


def bitmap(number: int) -> bytes:
    """An image whose format has no check of its own."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(number)).save(buffer, "BMP")
    return buffer.getvalue()


def test_names_are_utf_8_even_where_the_zip_does_not_say_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"caf\u00e9/1.png": png(0), "a/1.png": png(1)})
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + flags + 1] &= ~0x08
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[0] != "caf\u00e9/1.png"  # as old archivers write it
    source = open_source(str(path))
    assert source.classes == ("a", "caf\u00e9")
    assert np.array_equal(np.asarray(source.image(1)), pixels(0))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_no_damage_gives_other_images(tmp_path: Path, method: int) -> None:
    files = {name.replace("png", "bmp"): bitmap(number) for number, name in enumerate(FILES)}
    path, draw = zipped(tmp_path / "x.zip", files, method), random.Random(0)  # noqa: S311
    whole, lines = path.read_bytes(), []

    def read() -> list[bytes] | None:
        try:
            source = open_source(str(path))
            return [np.asarray(source.image(i)).tobytes() for i in range(len(source.targets))]
        except ValueError as error:
            lines.append(str(error))
            return None

    right = read()
    end = whole.index(b"PK\1\2")
    for _ in range(150):
        data = bytearray(whole[: draw.choice([len(whole), draw.randrange(4, len(whole))])])
        data[draw.randrange(min(end, len(data)))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        assert read() in (None, right)
    assert len(lines) > 75
    assert all(str(path) in line and "\n" not in line for line in lines)
