"""Searches of the digits, carried out, killed and gone on with."""

import signal
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from distill import recipes
from distill.core.errors import RecipeError
from distill.recipes import Recipe
from distill.recipes.check import check
from distill.runs.fit import fit
from distill.search.runner import Machine, make_plan, search
from tests.fixtures.forks import start, wait_for
from tests.fixtures.searches import table, write

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    search(write(folder), folder / "out", QUIET)
    return folder


def test_every_candidate_is_within_the_limits_and_its_costs_are_those_of_its_run(
    finished: Path,
) -> None:
    rows = table(finished / "out" / "results.csv")
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    for row in rows:
        run_dir = finished / "out" / row["run_dir"]
        student = yaml.safe_load((run_dir / "result.json").read_text())["student"]
        assert int(row["parameters"]) == student["parameters"] <= 700
        assert int(row["flops"]) == student["flops"] <= 1e6
        assert float(row["value"]) == student["top1"]["val"]["last"]
    best = max(float(row["value"]) for row in rows)
    assert float(rows[-1]["best_so_far"]) == best


def test_the_best_design_is_a_recipe_that_gives_the_run_of_the_search(finished: Path) -> None:
    rows = table(finished / "out" / "results.csv")
    best = max(rows, key=lambda row: (float(row["value"]), -int(row["trial"])))
    path = finished / "out" / "best.yaml"
    recipe = Recipe(recipes.load(path))
    check(recipe.tree)
    assert recipe.get("model.optimizer.lr") == float(best["model.optimizer.lr"])
    result = fit(recipe, finished / "fit", console=QUIET)
    assert result["student"]["top1"]["val"]["last"] == float(best["value"])


def test_a_search_that_is_killed_goes_on_to_the_same_files(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = (finished / "search.yaml", out, QUIET)
    process = start(search, *arguments)
    wait_for(process, out / "trials" / "trial001" / "checkpoints" / "last.ckpt")
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    search(*arguments)
    whole = finished / "out"
    assert table(out / "results.csv") == table(whole / "results.csv")
    for name in ("pareto.csv", "best.yaml"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_folder_of_another_search_is_refused(finished: Path) -> None:
    out = finished / "out"
    with pytest.raises(RecipeError, match="another search, or one with other settings"):
        search(write(finished, trials=4, parallel=2), out, QUIET)
    write(finished)


def test_latencies_are_not_measured_anew_under_candidates(finished: Path) -> None:
    with pytest.raises(RecipeError, match="--remeasure: candidates of this folder follow"):
        search(write(finished), finished / "out", QUIET, machine=Machine(remeasure=True))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trails": 3}, "trails: is not known, did you mean 'trials'?"),
        ({"trials": 0}, "trials: needs a whole number"),
        ({"metric": {"name": "test/top1", "goal": "maximize"}}, "test images are only reported"),
        ({"metric": {"name": "val/top1"}}, "metric.goal: needs maximize or minimize"),
        ({"constraints": {"parameters": {"max": 10}}}, "parameters.max: 10, the smallest design"),
        ({"constraints": {"flops": {"max": 10}}}, "flops.max: 10, the smallest design"),
        ({"constraints": {"flop": {"max": 10}}}, "constraints.flop: is not known"),
        ({"strategy": {"class_path": "torch.nn.ReLU"}}, "strategy.class_path: needs a strategy"),
        ({"strategy": {"class_path": "os.system"}}, "is outside the trusted packages"),
        (
            {"strategy": {"class_path": "distill.search.Evolution", "init_args": {"size": 3}}},
            "strategy.init_args.size: Evolution has no argument",
        ),
        ({"space": {"class_path": "torch.nn.ReLU"}}, "needs a space of designs"),
        (
            {"space": {"class_path": "students.spaces.Chain", "init_args": {"stem": 4}}},
            "stages: Chain needs it",
        ),
        ({"finals": {"seeds": [1, 1]}}, "finals.seeds: needs seeds, none twice"),
        ({"finals": {"top": 2}}, "finals.seeds: Finals needs it"),
        ({"prefilter": {"designs": 0}}, "prefilter.designs: needs a whole number of at least 1"),
        ({"prefilter": {"proxy": "flops"}}, "prefilter.designs: Prefilter needs it"),
        ({"prefilter": {"designs": 2, "proxy": "luck"}}, "prefilter.proxy"),
        ({"finals": {"seeds": [1], "tune": -1}}, "finals.tune: needs at least 0 trials, got -1"),
        (
            {"finals": {"seeds": [1], "tune": 2}, "parameters": None},
            "finals.tune: needs parameters, and a metric of val/",
        ),
        (
            {
                "finals": {"seeds": [1], "tune": 2},
                "metric": {"name": "agreement", "goal": "maximize"},
            },
            "finals.tune: needs parameters, and a metric of val/",
        ),
        ({"finals": {"seeds": [1], "against": "students.resnet9x"}}, "no 'resnet9x' in students"),
        ({"finals": {"seeds": [1], "against": "os.system"}}, "outside the trusted packages"),
        ({"recipe": "digits/kdd"}, "no such recipe"),
        ({"overrides": {"model.optimizer.lr2": 1}}, "model.optimizer.lr2"),
        ({"objectives": {"size": "minimize"}}, "objectives.size: takes the metric"),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_no_folder(
    tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        search(write(tmp_path, **changes), tmp_path / "out", QUIET)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_student_made_by_hand_knows_the_images_and_classes_of_the_recipe(tmp_path: Path) -> None:
    finals = {"seeds": [1], "against": {"class_path": "students.resnet8"}}
    plan = make_plan(write(tmp_path, finals=finals), tmp_path / "out", [], 0)
    student = plan.by_hand(plan.recipe).get("model.student")
    assert student["class_path"] == "students.resnet8"
    assert student["init_args"] == {"num_classes": 10, "in_channels": 1}


def test_what_is_searched_cannot_be_set_beside_it(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"model\.optimizer\.lr: is varied by the search"):
        make_plan(write(tmp_path), tmp_path / "out", ["model.optimizer.lr=0.1"], 0)
