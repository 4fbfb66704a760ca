import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps import utils as agent

from distill import recipes
from distill.bench.sweep.command import Command
from distill.bench.sweep.runner import make_plan
from distill.bench.sweep.spec import read_sweep
from distill.bench.sweep.trial_queue import Trial
from distill.cli.app import _overrides
from distill.core.errors import RecipeError
from tests.fixtures.sweeps import SPEC, write

SHIPPED = Path(__file__).parents[3] / "experiments" / "digits_sweep" / "sweep.yaml"


def test_a_sweep_is_read(tmp_path: Path) -> None:
    sweep = read_sweep(write(tmp_path, early_terminate={"type": "hyperband", "min_iter": 2}))
    assert (sweep.method, sweep.trials, sweep.name, sweep.project) == ("random", 5, "sweep", None)
    assert sweep.command == Command("digits/kd", ("trainer.max_epochs=2",))
    assert sweep.early_terminate is not None
    assert sweep.early_terminate.brackets[:4] == (2, 6, 18, 54)


@pytest.mark.parametrize(
    ("start", "program"),
    [
        (["distill"], None),
        (["${env}", "${program}"], "distill"),
        (["${env}", "${interpreter}", "-m", "distill"], None),
        (["python", "-m", "distill"], None),
    ],
)
def test_a_command_may_start_in_several_ways(
    start: list[str], program: str | None, tmp_path: Path
) -> None:
    words = [*start, "fit", "digits/kd", "${args}", "--seed=3", "--trust=mine"]
    found = read_sweep(write(tmp_path, command=words, program=program)).command
    assert found == Command("digits/kd", ("seed_everything=3",), ("mine",))


def test_a_file_cannot_trust_packages_for_itself(tmp_path: Path) -> None:
    path = write(tmp_path, command=["distill", "fit", "digits/kd", "--trust=tests", "${args}"])
    for granted in ((), ("other",)):
        with pytest.raises(RecipeError, match=r"command: asks to trust 'tests'.*--trust tests"):
            make_plan(path, tmp_path / "out", (), 0, granted)
    plan = make_plan(path, tmp_path / "out", (), 0, ("tests", "other"))
    assert plan.trusted == ("tests", "other")


def test_what_runs_trusts_is_what_was_granted(tmp_path: Path) -> None:
    parameters = {"model.student.width": {"values": [4, 8]}}
    student = "--model.student=tests.fixtures.networks.tiny"
    command = ["distill", "fit", "digits/student", student, "${args}"]
    path = write(tmp_path, command=command, parameters=parameters)
    with pytest.raises(RecipeError, match="outside the trusted packages"):
        make_plan(path, tmp_path / "out", (), 0)
    plan = make_plan(path, tmp_path / "out", (), 0, ("tests",))
    assert plan.run(Trial(0, {"model.student.width": 4}, "")).trusted == ("tests",)


def test_a_grid_ends_by_itself(tmp_path: Path) -> None:
    parameters = {"a.b": {"values": [1, 2, 3]}, "c": {"min": 1, "max": 2}}
    grid = {"method": "grid", "parameters": parameters}
    assert read_sweep(write(tmp_path, **grid, run_cap=None)).trials == 6
    assert read_sweep(write(tmp_path, **grid, run_cap=4)).trials == 4
    assert read_sweep(write(tmp_path, **grid, run_cap=10)).trials == 6


@pytest.mark.parametrize("strict", [False, True])
def test_hyperband_may_be_strict(strict: bool, tmp_path: Path) -> None:
    given = {"type": "hyperband", "min_iter": 2, "strict": strict}
    early = read_sweep(write(tmp_path, early_terminate=given)).early_terminate
    assert early is not None
    assert early.strict == strict


def test_hyperband_has_brackets_as_far_as_runs_go(tmp_path: Path) -> None:
    given = {"type": "hyperband", "min_iter": 10, "eta": 1.1}
    early = read_sweep(write(tmp_path, early_terminate=given)).early_terminate
    assert early is not None
    assert early.brackets[:4] == (10, 11, 12, 13)
    assert early.brackets[-1] > 100_000


def test_hyperband_brackets_from_the_end(tmp_path: Path) -> None:
    given = {"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3}
    early = read_sweep(write(tmp_path, early_terminate=given)).early_terminate
    assert early is not None
    assert early.brackets == (3, 9)


def test_an_agent_of_wandb_writes_arguments_that_fit_reads() -> None:
    """W&B's own code fills in the shipped file's command; the recipe must come out the same."""
    spec = yaml.safe_load(SHIPPED.read_text())
    given = {
        "model.losses.kd.weight": 0.25,
        "model.losses.kd.loss.temperature": 2.0,
        "model.optimizer.lr": 1e-05,
    }
    assert set(given) == set(spec["parameters"])
    filled = agent.create_sweep_command_args(
        {"args": {key: {"value": value} for key, value in given.items()}}
    )
    known = filled | {"env": ["/usr/bin/env"], "program": [spec["program"]]}
    words: list[str] = []
    for word in agent.create_sweep_command(spec["command"]):
        words += known[word[2:-1]] if word.startswith("${") else [word]
    assert words[:4] == ["/usr/bin/env", "distill", "fit", "digits/kd"]
    tree = recipes.load(recipes.find(words[3]), _overrides(words[4:]))
    command = read_sweep(SHIPPED).command
    ours = [*command.overrides, *(f"{key}={value!r}" for key, value in given.items())]
    assert tree == recipes.load(recipes.find(command.recipe), ours)
    assert tree["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 1e-05


def test_the_shipped_file_fits_wandbs_own_schema() -> None:
    package = importlib.util.find_spec("sweeps")  # not importable beside numpy 2
    if package is None or not package.submodule_search_locations:
        pytest.skip("W&B's schema comes with the package sweeps, which is not installed")
    jsonschema = pytest.importorskip("jsonschema", reason="needed to read W&B's schema")
    folder = Path(package.submodule_search_locations[0])
    schema = json.loads((folder / "config" / "schema.json").read_text())
    for good in (yaml.safe_load(SHIPPED.read_text()), SPEC):
        jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError, match="'gird' is not one of"):
        jsonschema.validate(SPEC | {"method": "gird"}, schema)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"metod": "grid"}, "metod: is not known, did you mean 'method'"),
    "unknown method": ({"method": "gird"}, "method: needs one of .*, got 'gird', did you mean"),
    "no cap": ({"run_cap": None}, "run_cap: random needs it: nothing else ends a sweep here"),
    "cap of 0": ({"run_cap": 0}, "run_cap: needs a whole number of at least 1, got 0"),
    "server only": ({"controller": {"type": "local"}}, "controller: works with a W&B server only"),
    "no parameters": ({"parameters": None}, "parameters: needs at least one parameter"),
    "name of number": ({"name": 3}, "name: needs text, got 3"),
    "metric as text": ({"metric": "val/top1"}, "metric: needs name and goal, got 'val/top1'"),
    "metric without name": ({"metric": {"goal": "maximize"}}, "metric.name: needs a name"),
    "metric key": ({"metric": {"nmae": 1}}, "metric.nmae: is not known, did you mean 'name'"),
    "goal not written": (
        {"metric": {"name": "val/top1"}},
        "metric.goal: needs maximize or minimize, got None",
    ),
    "test images": (
        {"metric": {"name": "test/top1", "goal": "maximize"}},
        "metric.name: test images are only reported",
    ),
    "hyperband without metric": (
        {"metric": None, "early_terminate": {"type": "hyperband", "min_iter": 1}},
        "metric: needs name and goal, got None",
    ),
    "another stop": ({"early_terminate": {"type": "envelope"}}, "needs type: hyperband"),
    "no bracket": (
        {"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 1}},
        "leaves no bracket: 2 / 3",
    ),
    "neither bound": ({"early_terminate": {"type": "hyperband"}}, "needs min_iter, or max_iter"),
    "eta of 1": (
        {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}},
        "eta: needs a number above 1, got 1",
    ),
    "eta without end": (
        {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": float("inf")}},
        "eta: needs a number above 1, got inf",
    ),
    "half an iteration": (
        {"early_terminate": {"type": "hyperband", "min_iter": 1.5}},
        "min_iter: needs a whole number of at least 1 and at most 1,000,000,000, got 1.5",
    ),
    "strict": (
        {"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": "yes"}},
        "strict: needs true or false, got 'yes'",
    ),
    "early key": (
        {"early_terminate": {"type": "hyperband", "mini_iter": 1}},
        "mini_iter: is not known, did you mean 'min_iter'",
    ),
    "no command": ({"command": None}, "command: needs .*fit, RECIPE.*got "),
    "another program": ({"command": ["python", "train.py", "${args}"]}, "command: needs"),
    "command as text": ({"command": "distill fit x"}, "command: needs"),
    "no recipe": ({"command": ["distill", "fit", "${args}"]}, "command: needs"),
    "no arguments": ({"command": ["distill", "fit", "digits/kd"]}, "command: needs"),
    "arguments without hyphens": (
        {"command": ["distill", "fit", "digits/kd", "${args_no_hyphens}"]},
        "command: needs",
    ),
    "run_dir": (
        {"command": ["distill", "fit", "digits/kd", "--run_dir=x", "${args}"]},
        "command: needs .* got '--run_dir=x' after the recipe",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_sweep_names_the_key(case: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    changes, message = case
    with pytest.raises(RecipeError, match=message):
        read_sweep(write(tmp_path, **changes))
