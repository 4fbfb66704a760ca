import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from distill.core.files import write_csv, write_json, write_tensors


def test_a_table_has_its_columns_in_order_and_none_as_nothing(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"b": None, "a": 1.5}, {"a": "x,y", "b": 2}], ("a", "b"))
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1.5,\n"x,y",2\n'
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_write_that_fails_leaves_the_old_table(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"a": 1}], ("a",))
    with pytest.raises(ValueError, match="dict contains fields"):
        write_csv(tmp_path / "t.csv", [{"a": 2}, {"c": 3}], ("a",))
    assert (tmp_path / "t.csv").read_text() == "a\n1\n"


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.json"
    write_json(path, {"a": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*t\.json\.tmp'$"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["t.json"]


def test_tensors_carry_texts_in_their_head(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"a": torch.eye(2).T}, {"of": "me"})
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"of": "me"}
        assert torch.equal(file.get_tensor("a"), torch.eye(2))
