import json
from pathlib import Path

import pytest

from distill import recipes, runs
from distill.core.errors import RecipeError
from distill.runs.overwrite import ASIDE, put_aside, put_back
from tests.fixtures.runs import QUIET

QUICK = ["trainer.max_epochs=1", "data.test=0"]


def fit(run_dir: Path, *changes: str, overwrite: bool = True) -> None:
    tree = recipes.load(recipes.find("digits/student"), [*QUICK, *changes])
    runs.fit(tree, run_dir, console=QUIET, overwrite=overwrite)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_run_gives_way_to_another_and_files_of_others_stay(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    fit(run_dir)
    (run_dir / "notes.txt").write_text("mine")
    (run_dir / "checkpoints" / "kept.pth").write_text("mine")
    before = contents(run_dir)
    with pytest.raises(RecipeError, match="--overwrite"):
        fit(run_dir, overwrite=False)
    with pytest.raises(RecipeError):  # seen before training begins
        fit(run_dir, "model.student.in_channels=3")
    assert contents(run_dir) == before
    fit(run_dir, "seed_everything=5")
    assert json.loads((run_dir / "result.json").read_text())["seed"] == 5
    assert contents(run_dir).keys() == before.keys()
    assert (run_dir / "notes.txt").read_text() == "mine"
    assert not (run_dir / ASIDE).exists()


def test_a_run_of_stages_gives_way_and_comes_back(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    stages = "stages={one: {trainer.max_epochs: 1}, two: {trainer.max_epochs: 1}}"
    fit(run_dir, stages)
    (run_dir / "stages" / "one" / "notes.txt").write_text("mine")
    before = contents(run_dir)
    with pytest.raises(RecipeError, match="channels"):
        fit(run_dir, stages, "model.student.in_channels=3")
    assert contents(run_dir) == before
    fit(run_dir, stages, "seed_everything=5")
    assert contents(run_dir).keys() == before.keys()
    for folder in (run_dir, run_dir / "stages" / "one"):
        assert json.loads((folder / "result.json").read_text())["seed"] == 5


def test_what_is_no_run_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("mine")
    put_aside(tmp_path, tmp_path.glob("*.csv"))
    with pytest.raises(RecipeError, match=r"is not empty: use another --run_dir$"):
        fit(tmp_path)
    assert contents(tmp_path) == {"metrics.csv": b"mine"}


def test_what_was_put_aside_comes_back(tmp_path: Path) -> None:
    (tmp_path / "peers").mkdir()
    for name in ("config.yaml", "peers/a.safetensors", "other.txt"):
        (tmp_path / name).write_text(name)
    before = contents(tmp_path)
    put_aside(tmp_path, [tmp_path / "config.yaml", *tmp_path.glob("peers/*.safetensors")])
    assert contents(tmp_path).keys() == {
        "other.txt",
        f"{ASIDE}/config.yaml",
        f"{ASIDE}/peers/a.safetensors",
    }
    put_back(tmp_path)
    assert contents(tmp_path) == before
