from pathlib import Path

import numpy as np
import pytest

from distill.data.rows_file import RowsFile, laid_out


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.data.rows_file.FOLDER", tmp_path / "rows")


def rows(n: int = 40) -> list[bytes]:
    draw = np.random.default_rng(0)
    return [draw.bytes(int(draw.integers(0, 50))) for _ in range(n)]


def test_rows_are_read_in_any_order_and_written_once(tmp_path: Path) -> None:
    written = []

    def give() -> list[bytes]:
        written.append(1)
        return rows()

    for _ in range(2):
        file = laid_out("these", give)
        assert len(file) == 40
        for row in np.random.default_rng(1).permutation(40).tolist():
            assert file.read(row) == rows()[row]
    assert written == [1]
    assert len(laid_out("others", list)) == 0
    assert len(list((tmp_path / "rows").iterdir())) == 2


def test_what_is_written_in_part_is_not_there(tmp_path: Path) -> None:
    def broken() -> object:
        yield b"one"
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        laid_out("these", broken)  # type: ignore[arg-type]
    assert list((tmp_path / "rows").iterdir()) == []


def test_flipped_and_missing_bytes_are_told_or_written_again(tmp_path: Path) -> None:
    """150 flips and 50 truncations: every one is told."""
    laid_out("these", rows)
    (path,) = (tmp_path / "rows").iterdir()
    whole, draw, refused = path.read_bytes(), np.random.default_rng(2), 0
    for trial in range(200):
        damaged = bytearray(whole)
        damaged[draw.integers(len(whole))] ^= 1 << int(draw.integers(8))
        path.write_bytes(damaged if trial < 150 else whole[: draw.integers(len(whole))])
        try:
            file = RowsFile(path)
            assert [file.read(row) for row in range(len(file))] == rows()
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017 - some flips are of rows, some of the index
            refused += 1
    assert refused == 200
    path.write_bytes(whole[:-1])
    assert laid_out("these", rows).read(3) == rows()[3]
