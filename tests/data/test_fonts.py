import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from distill.data import fonts
from distill.data.fonts import drawn, find_fonts

SHIPPED = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
DIGITS = "0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two fonts that draw digits, one of symbols in a folder below, and what is no font."""
    (tmp_path / "symbols").mkdir()
    for name in ("DejaVuSerif.ttf", "DejaVuSans.ttf"):
        shutil.copy(SHIPPED / name, tmp_path / name)
    shutil.copy(SHIPPED / "STIXSizFiveSymReg.ttf", tmp_path / "symbols" / "a.ttf")
    (tmp_path / "broken.ttf").write_text("no font")
    (tmp_path / "licence.txt").write_text("no font either")
    return tmp_path


def families(found: list) -> list[str]:
    return [font.getname()[0] for font in found]


def test_a_folder_gives_its_fonts_that_draw_the_alphabet_by_name(folder: Path) -> None:
    assert families(find_fonts(str(folder), DIGITS)) == ["DejaVu Sans", "DejaVu Serif"]


def test_files_and_folders_may_be_listed(folder: Path) -> None:
    listed = [str(folder / "DejaVuSerif.ttf"), str(folder)]
    found = find_fonts(listed, DIGITS)
    assert families(found) == ["DejaVu Serif", "DejaVu Sans", "DejaVu Serif"]


def test_the_systems_fonts_are_the_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_SYSTEM", (str(folder / "missing"), str(folder)))
    assert families(find_fonts(None, DIGITS)) == ["DejaVu Sans", "DejaVu Serif"]


def test_without_any_there_is_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_SYSTEM", ())
    (font,) = find_fonts(None, DIGITS)
    assert np.asarray(drawn("42", font)).max() == 255


def test_a_character_that_fonts_lack_leaves_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "_SYSTEM", (str(folder),))
    for given in (None, str(folder)):
        with pytest.raises(ValueError, match=r"^fonts needs some that draw all of '0\\ue123', got"):
            find_fonts(given, "0\ue123")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no", r"^fonts needs folders or font files, .*no is missing$"),
        ("symbols", r"^fonts needs some that draw all of '0123456789', got none in .*symbols$"),
        ("symbols/a.ttf", r"^fonts needs some that draw all of '0123456789', .*a\.ttf does not$"),
        ("broken.ttf", r"^fonts needs some that draw all of '0123456789', .*broken\.ttf does not$"),
    ],
)
def test_what_cannot_draw_is_named(folder: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_fonts(str(folder / name), DIGITS)


def test_a_drawn_text_is_cut_to_its_ink(folder: Path) -> None:
    (font,) = find_fonts(str(folder / "DejaVuSans.ttf"), DIGITS)
    pixels = np.asarray(drawn("17", font))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert edge.any()
