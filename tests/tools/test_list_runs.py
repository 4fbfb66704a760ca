import json
import os
import time
from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.recipes import Recipe
from distill.runs.directory import lock_run_dir, write_config
from distill.tools.list_runs import columns, compare_runs, list_runs, read_run


def run(folder: Path, name: str = "digits/kd", lr: float = 0.1, top1: float | None = None) -> Path:
    """A run directory, finished where there is a figure."""
    folder.mkdir(parents=True)
    model = {"class_path": "a.B", "init_args": {"optimizer": {"init_args": {"lr": lr}}}}
    write_config(folder, Recipe({"model": model, "seed_everything": 7}), name)
    if top1 is not None:
        scores = {"val": {"last": top1, "best": top1 + 1}}
        student = {"class": "Net", "parameters": 1234, "top1": scores}
        result = {"student": student, "seed": 7, "epochs": 3, "metric": "top1", "wall_s": 5.0}
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_a_row_for_each_run_with_figures_state_and_age(tmp_path: Path) -> None:
    done, new = run(tmp_path / "x" / "done", top1=81.5), run(tmp_path / "new", "mine")
    for path in done.iterdir():
        os.utime(path, (time.time() - 7300,) * 2)
    header, *rows = list_runs(tmp_path)
    assert header[0] == "run"
    assert rows == [
        (str(done), "digits/kd", "7", "3", "81.50", "-", "finished", "2 h"),
        (str(new), "mine", "7", "-", "-", "-", "can be resumed", "now"),
    ]
    assert list_runs(tmp_path, "FINISHED")[1:] == rows[:1]
    assert list_runs(done)[1:] == rows[:1]
    lines = columns([header, *rows]).splitlines()
    assert (
        len(
            {
                line.index(word)
                for line, word in zip(lines, ("recipe", "digits/kd", "mine"), strict=True)
            }
        )
        == 1
    )


def test_damaged_runs_are_broken_and_owned_ones_running(tmp_path: Path) -> None:
    folder = run(tmp_path / "a")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_text("torn")
    assert read_run(folder).state == "broken"
    with lock_run_dir(folder):
        assert read_run(folder).state == "running"
    other = run(tmp_path / "b", top1=1.0)
    (other / "result.json").write_text("{")
    assert read_run(other).state == "can be resumed"
    (other / "config.yaml").write_text("{")
    assert read_run(other).state == "broken"
    assert read_run(other).recipe == "?"


def test_stages_belong_to_their_run(tmp_path: Path) -> None:
    folder = run(tmp_path / "a")
    run(folder / "stages" / "one", top1=1.0)
    assert len(list_runs(tmp_path)) == 2


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is no folder"):
        list_runs(tmp_path / "none")
    with pytest.raises(RecipeError, match="holds no run"):
        list_runs(tmp_path)
    run(tmp_path / "a")
    with pytest.raises(RecipeError, match="none of its 1 runs matches 'x9'"):
        list_runs(tmp_path, "x9")
    with pytest.raises(RecipeError, match="not a run directory"):
        compare_runs([tmp_path])


def test_compared_runs_show_figures_and_what_differs(tmp_path: Path) -> None:
    one, two = run(tmp_path / "a", lr=0.1, top1=80.0), run(tmp_path / "b", lr=0.2, top1=82.0)
    rows = {row[0]: row[1:] for row in compare_runs([one, two])}
    assert rows[""] == (str(one), str(two))
    assert rows["val %"] == ("80.00", "82.00")
    assert rows["val %, best epoch"] == ("81.00", "83.00")
    assert rows["parameters"] == ("1,234", "1,234")
    assert rows["model.optimizer.lr"] == ("0.1", "0.2")
    assert "seed_everything" not in rows
