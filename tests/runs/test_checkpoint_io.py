import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.runs.checkpoint_io import (
    SafeCheckpointIO,
    checkpointers,
    is_valid,
    latest_valid_checkpoint,
    newest_valid,
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint({"weight": torch.arange(3)}, path)
    return path


def test_reads_what_was_written(written: Path) -> None:
    assert SafeCheckpointIO().load_checkpoint(written)["weight"].tolist() == [0, 1, 2]
    assert sorted(p.name for p in written.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_byte_is_refused_by_name(written: Path, place: int) -> None:
    damaged = bytearray(written.read_bytes())
    damaged[place] ^= 1
    written.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged"):
        SafeCheckpointIO().load_checkpoint(written)


def test_a_shortened_file_is_refused(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-1])
    assert not is_valid(written)


def test_a_failed_write_leaves_the_old_file(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        SafeCheckpointIO().save_checkpoint({}, written)
    assert is_valid(written)
    assert sorted(p.name for p in written.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


class Killed(BaseException):
    """Ends a save at a point, with nothing after it: no clean-up either."""


class Disk:
    """Calls of a save that change what a kill leaves, each of which may be the last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.last = 10**9
        monkeypatch.setattr(torch, "save", self._call("write", torch.save))
        monkeypatch.setattr(Path, "replace", self._call("rename", Path.replace))
        monkeypatch.setattr(Path, "unlink", self._call("", Path.unlink))
        monkeypatch.setattr(os, "fsync", self._call("sync", lambda file: None))

    def _call(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def killable(*arguments: Any, **named: Any) -> Any:
            if len(self.done) >= self.last:
                if kind == "write":
                    arguments[1].write(b"half of it")
                raise Killed
            if kind:
                what = os.readlink(f"/proc/self/fd/{arguments[0]}") if kind == "sync" else ""
                what = str(arguments[1]) if kind == "rename" else what
                self.done.append(f"{kind} {Path(what).name}".strip())
            return call(*arguments, **named)

        return killable


def save(path: Path, number: int) -> None:
    SafeCheckpointIO().save_checkpoint({"number": number}, path)


def number_in(path: Path) -> int:
    number: int = SafeCheckpointIO().load_checkpoint(path)["number"]
    return number


def test_each_step_of_a_save_is_on_the_disk_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    save(tmp_path / "last.ckpt", 0)
    assert disk.done == [
        "write",
        "sync .last.ckpt.tmp",
        "sync .last.ckpt.sha256.tmp",
        "rename last.ckpt.sha256",
        f"sync {tmp_path.name}",
        "rename last.ckpt",
        f"sync {tmp_path.name}",
        "sync .last.ckpt.sha256.tmp",
        "rename last.ckpt.sha256",
    ]


STEPS, RENAMED = 9, 6
"""Calls of a save, and how many of them have the new checkpoint in its place."""


@pytest.mark.parametrize("first", range(STEPS))
@pytest.mark.parametrize("before", [True, False], ids=["over an old one", "the first one"])
def test_kills_in_a_row_at_any_step_leave_a_valid_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, before: bool
) -> None:
    """Three in a row, of which the second and third are at each step."""
    disk = Disk(monkeypatch)
    for second in range(STEPS):
        path = tmp_path / str(second) / "last.ckpt"
        disk.last = 10**9
        there = -1
        if before:
            save(path, there := 0)
        for number, killed_at in enumerate((first, second, second), start=1):
            disk.done.clear()
            disk.last = killed_at
            with pytest.raises(Killed):
                save(path, number)
            there = number if killed_at >= RENAMED else there
            assert path.exists() == (there >= 0)
            assert not path.exists() or number_in(path) == there
        disk.last = 10**9
        save(path, 4)
        assert number_in(path) == 4
        assert len((path.parent / "last.ckpt.sha256").read_text().split()) == 1
        assert len(list(path.parent.iterdir())) == 2


def test_a_kill_does_not_make_a_damaged_file_valid(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.write_bytes(written.read_bytes()[:-1])
    disk = Disk(monkeypatch)
    disk.last = RENAMED - 1
    with pytest.raises(Killed):
        save(written, 1)
    assert not is_valid(written)


def test_a_damaged_sidecar_is_not_an_error_of_its_own(written: Path) -> None:
    (written.parent / "last.ckpt.sha256").write_bytes(b"\xff" * 64)
    assert not is_valid(written)


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint({"weight": Bomb()}, path)
    with pytest.raises(Exception, match=r"weights_only|Unsupported"):
        SafeCheckpointIO().load_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


def test_the_newest_undamaged_checkpoint_is_found(tmp_path: Path) -> None:
    assert newest_valid(tmp_path) is None
    two_checkpoints(tmp_path)
    assert newest_valid(tmp_path) == tmp_path / "last.ckpt"
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    assert newest_valid(tmp_path) == tmp_path / "best.ckpt"


def two_checkpoints(folder: Path) -> tuple[Path, Path]:
    """The older and the newer one."""
    for second, name in enumerate(["best.ckpt", "last.ckpt"]):
        save(folder / name, second)
        os.utime(folder / name, (second, second))
    return folder / "best.ckpt", folder / "last.ckpt"


def test_the_refusal_of_a_damaged_file_names_one_that_is_not(tmp_path: Path) -> None:
    older, newer = two_checkpoints(tmp_path)
    newer.write_bytes(b"damaged")
    told = rf"^{newer} is damaged: it does not match last\.ckpt\.sha256"
    with pytest.raises(ValueError, match=rf"{told}; {older} is not damaged$"):
        SafeCheckpointIO().load_checkpoint(newer)
    older.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=rf"{told}$"):
        SafeCheckpointIO().load_checkpoint(newer)


def test_init_from_stage_from_an_older_checkpoint_is_told(tmp_path: Path) -> None:
    older, newer = two_checkpoints(tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert latest_valid_checkpoint(tmp_path) == newer
        assert told == []
        newer.write_bytes(b"damaged")
        assert latest_valid_checkpoint(tmp_path) == older
    assert [str(each.message) for each in told] == [f"damaged: {newer}; going on from {older}"]


def test_without_a_valid_checkpoint_the_damaged_ones_are_named(tmp_path: Path) -> None:
    nothing = "^holds no valid checkpoint to resume from"
    with pytest.raises(ValueError, match=f"{nothing}$"):
        latest_valid_checkpoint(tmp_path)
    older, newer = two_checkpoints(tmp_path)
    for path in (older, newer):
        path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=f"{nothing}; damaged: {newer}, {older}$"):
        latest_valid_checkpoint(tmp_path)


def test_removing_takes_the_sidecar_along(written: Path) -> None:
    SafeCheckpointIO().remove_checkpoint(written)
    assert list(written.parent.iterdir()) == []


def test_a_moved_run_writes_to_its_new_place(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    best = checkpointers(old, "top1", "maximize")[0]
    best.best_model_path = f"{old}/best.ckpt"
    best.best_k_models = {f"{old}/best.ckpt": torch.tensor(90.0)}
    moved = checkpointers(new, "top1", "maximize")[0]
    moved.load_state_dict(best.state_dict())
    assert moved.best_model_path == f"{new}/best.ckpt"
    assert list(moved.best_k_models) == [f"{new}/best.ckpt"]
