import os
from pathlib import Path

import pytest
import torch

from distill.callbacks import SafeCheckpointIO, newest_valid
from distill.callbacks.checkpoint import checkpointers, is_valid


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


@pytest.mark.parametrize("kill_at", [1, 2])
def test_a_kill_between_the_two_renames_leaves_a_valid_file(
    written: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    """The sidecar is renamed first, then the checkpoint; stop before either."""
    renames = []
    rename = Path.replace

    def stop(path: Path, target: Path) -> Path:
        renames.append(target)
        if len(renames) == kill_at:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        SafeCheckpointIO().save_checkpoint({"weight": torch.zeros(1)}, written)
    assert SafeCheckpointIO().load_checkpoint(written)["weight"].tolist() == [0, 1, 2]


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
    for second, name in enumerate(["best.ckpt", "last.ckpt"]):
        SafeCheckpointIO().save_checkpoint({"name": name}, tmp_path / name)
        os.utime(tmp_path / name, (second, second))
    assert newest_valid(tmp_path) == tmp_path / "last.ckpt"
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    assert newest_valid(tmp_path) == tmp_path / "best.ckpt"


def test_removing_takes_the_sidecar_along(written: Path) -> None:
    SafeCheckpointIO().remove_checkpoint(written)
    assert list(written.parent.iterdir()) == []


def test_a_moved_run_writes_to_its_new_place(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    best = checkpointers(old)[0]
    best.best_model_path = f"{old}/best.ckpt"
    best.best_k_models = {f"{old}/best.ckpt": torch.tensor(90.0)}
    moved = checkpointers(new)[0]
    moved.load_state_dict(best.state_dict())
    assert moved.best_model_path == f"{new}/best.ckpt"
    assert list(moved.best_k_models) == [f"{new}/best.ckpt"]
