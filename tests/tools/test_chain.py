import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from distill import recipes
from distill.cli import main
from distill.core.errors import RecipeError
from distill.tools.chain import chain

QUIET = Console(quiet=True)


def recipe() -> dict[str, Any]:
    tree = recipes.load(recipes.find("digits/born_again"))
    small = {"data.val": 0.05, "data.test": 0, "data.train_samples": 50}
    one = {"trainer.max_epochs": 1, "trainer.check_val_every_n_epoch": 1}
    for key, value in (small | one).items():
        recipes.put(tree, key, value)
    return tree


def test_what_the_command_trusts_teaches_every_generation(tmp_path: Path) -> None:
    tree = recipe()
    arguments = {"width": 4, "num_classes": 10, "in_channels": 1}
    student = {"class_path": "tests.fixtures.networks.TinyNet", "init_args": arguments}
    recipes.put(tree, "model.student", student)
    results = chain(tree, tmp_path, 1, trusted=("tests",), console=QUIET)
    assert [result["teacher"] is None for result in results] == [True, False]


def test_every_generation_learns_from_the_one_before(tmp_path: Path) -> None:
    results = chain(recipe(), tmp_path, 2, name="digits/born_again", console=QUIET)
    assert [result["teacher"] is None for result in results] == [True, False, False]
    for teacher, student in pairwise(results):
        expected = teacher["student"]["top1"]["val"]["last"]
        assert student["teacher"]["top1"]["val"]["last"] == expected
    assert len({result["seed"] for result in results}) == 3
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.json")}
    assert len(written) == 3
    again = chain(recipe(), tmp_path, 2, console=QUIET)
    assert again == json.loads(json.dumps(results))
    assert written == {path: path.stat().st_mtime_ns for path in written}


def test_a_chain_has_a_generation_to_teach(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^--generations: must be at least 1, got 0$"):
        chain(recipe(), tmp_path, 0, console=QUIET)


@pytest.mark.parametrize("name", ["digits/student", "digits/overhaul"])
def test_terms_with_and_without_a_teacher_are_needed(name: str, tmp_path: Path) -> None:
    tree = recipes.load(recipes.find(name))
    if name == "digits/overhaul":
        del tree["model"]["init_args"]["losses"]["ce"]
    with pytest.raises(RecipeError, match=r"^model\.losses: a chain needs a term that reads"):
        chain(tree, tmp_path, 1, console=QUIET)


def test_a_list_of_sources_counts(tmp_path: Path) -> None:
    tree = recipes.load(recipes.find("digits/reviewkd"))
    recipes.put(tree, "model.losses.ce.loss", "nowhere.Loss")
    with pytest.raises(RecipeError, match=r"^model\.losses\.ce\.loss: nowhere\.Loss is outside"):
        chain(tree, tmp_path, 1, console=QUIET)


def test_the_command_carries_out_a_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chain", "digits/born_again", "--generations", "0"]) == 2
    assert capsys.readouterr().err == "distill: --generations: must be at least 1, got 0\n"
    small = ["--trainer.max_epochs=1", "--data.train_samples=64", "--data.batch_size=32"]
    command = ["chain", "digits/born_again", "--generations=1", f"--run_dir={tmp_path / 'chain'}"]
    assert main([*command, *small]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["generation 0", "generation 1"]
