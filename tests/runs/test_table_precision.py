"""One trial for each student of a table, whatever its seeds, and whoever goes on with it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distill.bench import bench
from distill.bench.sweep.runner import make_plan
from distill.bench.sweep.trial_queue import Trial
from distill.core.errors import RecipeError
from distill.recipes import Recipe, read
from distill.runs.repeatable import RepeatableRun
from distill.runs.speed_trial import Way
from distill.runs.table_precision import FILE, TablePrecision
from tests.fixtures.known_times import TIMES, known
from tests.fixtures.runs import QUIET
from tests.fixtures.small_recipe import RECIPE

TRUSTED = ("tests", "students")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[list[Way]]:
    return known(monkeypatch)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return Recipe.of(path).put("trainer.precision", "auto")


def run_of(recipe: Recipe, digest: str = "0" * 64) -> RepeatableRun:
    return RepeatableRun(recipe, Path("nowhere"), "name", digest, TRUSTED)


def chosen(run: RepeatableRun) -> tuple[Any, Any]:
    return run.recipe.get("trainer.precision"), run.recipe.get("model.channels_last")


def test_a_student_is_tried_once_for_all_seeds_and_methods(
    tmp_path: Path, recipe: Recipe, clock: list[list[Way]]
) -> None:
    table = TablePrecision(tmp_path / "out", TRUSTED)
    other = recipe.put("model.losses", {"ce": recipe.get("model.losses.ce")})
    others = [each.put("seed_everything", seed) for each in (recipe, other) for seed in (0, 1)]
    found = [table.of(run_of(each)) for each in others]
    assert [chosen(run) for run in found] == [("bf16-mixed", True)] * 4
    assert len(clock) == 1
    assert chosen(table.of(run_of(recipe.put("model.student.width", 9)))) == ("bf16-mixed", True)
    assert len(clock) == 2


@pytest.mark.slow
def test_what_was_found_is_kept_in_the_folder(
    tmp_path: Path, recipe: Recipe, clock: list[list[Way]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = TablePrecision(tmp_path / "out", TRUSTED).of(run_of(recipe))
    monkeypatch.setitem(TIMES, Way("32-true", False), 0.5)
    again = TablePrecision(tmp_path / "out", TRUSTED).of(run_of(recipe))
    assert again == first
    assert len(clock) == 1
    elsewhere = TablePrecision(tmp_path / "other", TRUSTED).of(run_of(recipe))
    assert chosen(elsewhere) == ("32-true", False)
    assert len({first.digest, elsewhere.digest, run_of(recipe).digest}) == 3


def test_a_named_precision_is_left_alone(tmp_path: Path) -> None:
    run = run_of(Recipe({"model": {}, "trainer": {"precision": "32-true"}}))
    assert TablePrecision(tmp_path / "out").of(run) is run
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("clock")
def test_what_cannot_be_tried_is_left_to_its_run(tmp_path: Path, recipe: Recipe) -> None:
    run = run_of(recipe.put("data.train_samples", -1))
    assert TablePrecision(tmp_path, TRUSTED).of(run) is run
    assert not (tmp_path / FILE).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("clock")
def test_stages_are_settled_where_they_ask(tmp_path: Path, recipe: Recipe) -> None:
    stages = {"a": {}, "b": {"trainer.precision": "auto"}}
    staged = Recipe(recipe.put("trainer.precision", "32-true").tree | {"stages": stages})
    found = TablePrecision(tmp_path, TRUSTED).of(run_of(staged)).recipe
    assert found.get("trainer.precision") == "32-true"
    own = {"trainer.precision": "bf16-mixed", "model.channels_last": True}
    assert found.tree["stages"] == {"a": {}, "b": own}


@pytest.mark.slow
def test_all_designs_of_a_search_compute_like_its_own_student(
    tmp_path: Path, recipe: Recipe, clock: list[list[Way]]
) -> None:
    table = TablePrecision(tmp_path, TRUSTED)
    designs = [recipe.put("model.student.width", width) for width in (4, 5, 6)]
    found = [table.of(run_of(design), like=recipe) for design in designs]
    assert [chosen(run) for run in found] == [("bf16-mixed", True)] * 3
    assert len(clock) == 1


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("text", ["[]", "{", '{"a": {"b": 1}}'])
def test_somebody_elses_file_is_refused(text: str, tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RecipeError, match="does not hold what a table's trials found"):
        TablePrecision(tmp_path, TRUSTED).of(run_of(recipe))
    assert (tmp_path / FILE).read_text() == text


@pytest.mark.slow
def test_a_bench_hands_one_choice_to_all_its_runs(
    tmp_path: Path, recipe: Recipe, clock: list[list[Way]]
) -> None:
    path = tmp_path / "alone.json"
    path.write_text(json.dumps(recipe.put("model.losses.kd", recipe.get("model.losses.ce")).tree))
    spec = {"baseline": str(tmp_path / "recipe.yaml"), "methods": [str(path)], "seeds": [0]}
    file, out = tmp_path / "bench.json", tmp_path / "out"
    file.write_text(json.dumps(spec | {"overrides": {"trainer.precision": "auto"}}))
    rows = bench(file, out, QUIET, trusted=TRUSTED)
    configs = [Recipe(read(Path(str(row["run_dir"])) / "config.yaml")) for row in rows]
    assert [c.get("trainer.precision") for c in configs] == ["bf16-mixed"] * 2
    assert len(clock) == 1
    hashes = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.glob("*/*/result.json")}
    assert bench(file, out, QUIET, trusted=TRUSTED) == rows
    assert hashes == {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in hashes}
    assert len(clock) == 1


@pytest.mark.slow
def test_a_sweep_tries_each_student_when_its_first_trial_is_due(
    tmp_path: Path, recipe: Recipe, clock: list[list[Way]]
) -> None:
    command = ["distill", "fit", str(tmp_path / "recipe.yaml"), "--trainer.precision=auto"]
    sweep = {
        "method": "grid",
        "metric": {"name": "val/top1", "goal": "maximize"},
        "parameters": {"model.optimizer.lr": {"values": [0.1, 0.2]}},
        "command": [*command, "${args}"],
    }
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
    plan = make_plan(tmp_path / "sweep.yaml", tmp_path / "out", [], 0, TRUSTED)
    assert clock == []
    plan = replace(plan, precisions=TablePrecision(plan.out, TRUSTED))
    trials = [Trial(n, {"model.optimizer.lr": lr}, "id") for n, lr in enumerate((0.1, 0.2))]
    assert [chosen(plan.run(trial)) for trial in trials] == [("bf16-mixed", True)] * 2
    assert len(clock) == 1
