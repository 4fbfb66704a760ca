"""What is left of a run directory when a recipe turns out wrong."""

from pathlib import Path

import pytest

from distill.core.errors import RecipeError
from distill.core.trust import trusting
from distill.recipes import Recipe, read
from distill.runs.directory import (
    checkpoint_to_resume,
    clear_run,
    lock_run_dir,
    recipe_name,
    refuse_second_run,
    resume_command,
    write_config,
)


def _fail_in(run_dir: Path, *files: str) -> None:
    with pytest.raises(RecipeError, match="wrong"), lock_run_dir(run_dir):
        _write_and_fail(run_dir, *files)


def _write_and_fail(run_dir: Path, *files: str) -> None:
    for file in files:
        (run_dir / file).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / file).touch()
    raise RecipeError("model.cache", "wrong")


def test_a_directory_made_for_a_wrong_recipe_is_removed_with_its_empty_parents(
    tmp_path: Path,
) -> None:
    _fail_in(tmp_path / "runs" / "mine", "config.yaml", "metrics.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "work",
    ["checkpoints/last.ckpt", "stages/one/checkpoints/last.ckpt", "result.json", "clean.json"],
)
def test_work_is_kept_whatever_turns_out_wrong_later(work: str, tmp_path: Path) -> None:
    _fail_in(tmp_path / "mine", "config.yaml", work)
    assert (tmp_path / "mine" / work).is_file()
    assert (tmp_path / "mine" / "config.yaml").is_file()


def test_a_directory_that_was_there_can_be_used_again(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    _fail_in(tmp_path, "config.yaml")
    assert not (tmp_path / "config.yaml").exists()
    assert (tmp_path / "notes.txt").is_file()


def test_a_run_that_was_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    _fail_in(tmp_path)
    assert (tmp_path / "config.yaml").is_file()


@pytest.mark.parametrize("name", ["digits/kd", ""])
def test_the_recipe_is_called_as_it_was(name: str, tmp_path: Path) -> None:
    write_config(tmp_path, Recipe({"trainer": {"max_epochs": 3}}), name)
    assert recipe_name(tmp_path) == (name or str(tmp_path))
    assert read(tmp_path / "config.yaml") == {"trainer": {"max_epochs": 3}}


def test_a_directory_in_use_is_told_with_its_owner(tmp_path: Path) -> None:
    with (
        lock_run_dir(tmp_path),
        pytest.raises(RecipeError, match=r"is in use by process \d+"),
        lock_run_dir(tmp_path),
    ):
        pass


def test_a_way_out_is_offered_that_works(tmp_path: Path) -> None:
    """Never resume where resume would refuse, and resume with the trust that was given."""
    (tmp_path / "config.yaml").write_text("model: {}\n")
    with trusting(["mynet", "other"]), pytest.raises(RecipeError) as begun:
        refuse_second_run(tmp_path)
    assert f"`distill resume {tmp_path} --trust mynet,other`" in str(begun.value)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_text("torn")
    with pytest.raises(RecipeError) as damaged:
        refuse_second_run(tmp_path)
    assert "distill resume" not in str(damaged.value)
    assert "--overwrite" in str(damaged.value)
    with pytest.raises(RecipeError, match="--overwrite` starts anew"):
        checkpoint_to_resume(tmp_path)
    assert resume_command(Path("my runs/a")) == "distill resume 'my runs/a'"


@pytest.mark.parametrize("inner", ["checkpoints", "stages/one/checkpoints"])
def test_a_checkpoint_that_no_run_wrote_is_kept(inner: str, tmp_path: Path) -> None:
    folder = tmp_path / inner
    folder.mkdir(parents=True)
    for name in ("mine.ckpt", "last.ckpt", "last.ckpt.sha256"):
        (folder / name).touch()
    clear_run(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["mine.ckpt"]


def test_what_stood_behind_a_link_is_kept(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "last.ckpt").touch()
    (theirs / "last.ckpt.sha256").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(theirs)
    _fail_in(tmp_path / "run", "config.yaml")
    assert len(list(theirs.iterdir())) == 2
    assert (tmp_path / "run" / "checkpoints").is_symlink()
