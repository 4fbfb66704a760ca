import copy
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from distill import runs
from distill.cli import main
from distill.core.errors import RecipeError
from distill.tools.fill_cache import fill
from tests.fixtures.recipes import RECIPE

QUIET = Console(quiet=True)


def recipe(**data: Any) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    tree["data"]["init_args"] |= data
    return tree


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_after_filling_training_computes_nothing(tmp_path: Path) -> None:
    """And ends where training without a cache ends, its random order and mixing included."""
    told = io.StringIO()
    path = Path(fill(recipe(), ("tests",), Console(file=told, width=200)))
    assert path.is_file()
    assert "views    3 epochs of 5 batches" in told.getvalue()
    assert f"cache    {path}: " in told.getvalue()
    assert "15 batches computed" in told.getvalue()
    told = io.StringIO()
    fill(recipe(), ("tests",), Console(file=told, width=200))
    assert " 0 batches computed" in told.getvalue()
    cached = recipe()
    cached["model"]["init_args"]["cache"] = "auto"
    caches = [
        runs.fit(tree, tmp_path / name, trusted=("tests",), console=QUIET)["cache"]
        for name, tree in (("live", recipe()), ("cached", cached))
    ]
    assert caches == [None, {"file": str(path), "batches_computed": 0}]
    weights = [(tmp_path / n / "student.safetensors").read_bytes() for n in ("live", "cached")]
    assert weights[0] == weights[1]


def test_only_the_views_that_repeat_are_filled() -> None:
    told = io.StringIO()
    fill(recipe(views=2), ("tests",), Console(file=told, width=200))
    assert "10 batches computed" in told.getvalue()
    told = io.StringIO()
    fill(recipe(augment=[]), ("tests",), Console(file=told, width=200))
    assert "views    1 epochs of 5 batches" in told.getvalue()


def test_a_cache_of_shards_is_filled_as_a_file_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is held back when the command ends, and nothing computed twice."""
    tree, told = recipe(), io.StringIO()
    tree["model"]["init_args"]["cache"] = "kd.shards"
    for computed in ("15 batches computed", " 0 batches computed"):
        assert fill(tree, ("tests",), Console(file=told, width=200)) == Path("kd.shards")
        assert computed in told.getvalue()
    assert main(["cache", "ls", "."]) == 0
    assert "teacher.logits 240, teacher@relu:input 240  TinyNet" in capsys.readouterr().out
    assert main(["cache", "rm", "kd", "."]) == 0
    assert not Path("kd.shards").exists()


def test_without_a_teacher_there_is_nothing_to_fill() -> None:
    tree = recipe()
    tree["model"]["init_args"]["teacher"] = None
    losses = tree["model"]["init_args"]["losses"]
    tree["model"]["init_args"]["losses"] = {"ce": losses["ce"]}
    with pytest.raises(RecipeError, match=r"model\.losses: no term reads from the teacher"):
        fill(tree, ("tests",), QUIET)
    assert not list(Path().rglob("*.sqlite"))


def test_the_command_lists_and_removes(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(fill(recipe(), ("tests",), QUIET))
    assert main(["cache", "ls"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{path}  ")
    assert "teacher.logits 240, teacher@relu:input 240  TinyNet" in line
    assert main(["cache", "rm", path.stem[:6]]) == 0
    assert capsys.readouterr().out == f"removed {path}\n"
    assert main(["cache", "ls"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["cache", "rm", "other"]) == 2
    assert main(["cache", "rm"]) == 2
    assert "takes one RECIPE, `ls [FOLDER]` or `rm NAME [FOLDER]`" in capsys.readouterr().err
