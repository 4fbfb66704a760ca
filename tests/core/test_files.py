from pathlib import Path

import pytest

from distill.core.files import write_csv


def test_a_table_has_its_columns_in_order_and_none_as_nothing(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"b": None, "a": 1.5}, {"a": "x,y", "b": 2}], ("a", "b"))
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1.5,\n"x,y",2\n'
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_write_that_fails_leaves_the_old_table(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"a": 1}], ("a",))
    with pytest.raises(ValueError, match="dict contains fields"):
        write_csv(tmp_path / "t.csv", [{"a": 2}, {"c": 3}], ("a",))
    assert (tmp_path / "t.csv").read_text() == "a\n1\n"
