"""Runs killed at random times that then lose or damage their newest checkpoint."""

import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distill import recipes, runs
from distill.cli import main
from distill.core.randomness import fold, uniform
from distill.runs.checkpoint_io import is_valid
from tests.fixtures.forks import start
from tests.fixtures.runs import QUIET, assert_same, final_state, metrics

KILLS = int(os.environ.get("DISTILL_KILLS", "20"))


def deleted(path: Path) -> None:
    path.unlink()
    path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = int(len(content) * 8 * uniform(fold("flip", len(content)), torch.tensor([0])).item())
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])


def fit(tree: dict[str, Any], run_dir: Path) -> None:
    runs.fit(tree, run_dir, console=QUIET)


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("damage", [deleted, flipped, truncated])
def test_killed_runs_go_on_from_what_is_left_to_the_same_bits(
    damage: Callable[[Path], None], every: int, tmp_path: Path
) -> None:
    given = ["trainer.max_epochs=7", f"trainer.check_val_every_n_epoch={every}"]
    tree, whole = recipes.load(recipes.find("digits/student"), given), tmp_path / "whole"
    begun = time.monotonic()
    fit(tree, whole)
    seconds = time.monotonic() - begun
    moments = uniform(fold(damage.__name__, every), torch.arange(KILLS)).flatten().tolist()
    damaged = 0
    for number, moment in enumerate(moments[every - 1 :: 3]):
        run_dir = tmp_path / str(number)
        child = start(fit, tree, run_dir)
        child.join(moment * seconds)
        child.kill()
        child.join()
        last = run_dir / "checkpoints" / "last.ckpt"
        if last.exists():
            damage(last)
            damaged += 1
        if not (run_dir / "config.yaml").exists():  # killed before it was a run
            assert not last.exists()
            fit(tree, run_dir)
        else:
            resume(run_dir, last)
        where = f"{damage.__name__} after {moment:.2f}"
        if not is_valid(last):  # the best one is of the last epoch's end: nothing was left to do
            for ending in ("", ".sha256"):
                best = last.with_name(f"best.ckpt{ending}")
                shutil.copy(best, last.with_name(f"last.ckpt{ending}"))
        assert_same(final_state(whole), final_state(run_dir), where)
        for name in ("student.safetensors", "validation.safetensors"):
            assert (run_dir / name).read_bytes() == (whole / name).read_bytes(), where
        assert metrics(run_dir) == metrics(whole), where
    assert damaged > 0


def resume(run_dir: Path, last: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        code = main(["resume", str(run_dir)])
        if code == 2:  # the only checkpoint was damaged: it is told, and nothing is lost by it
            assert not (run_dir / "checkpoints" / "best.ckpt").exists()
            deleted(last)
            code = main(["resume", str(run_dir)])
    assert code == 0
