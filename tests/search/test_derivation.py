"""Gradient searches of the digits, without a teacher."""

import itertools
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import TrialState
from rich.console import Console
from safetensors.torch import load_file

from distill import recipes
from distill.core.errors import RecipeError
from distill.search.candidates import Proposer
from distill.search.derivation import derived_design, run_of, with_supernets
from distill.search.plan import Plan
from distill.search.runner import make_plan, search
from distill.search.strategies.derived import Derived
from students import MixedCells
from students.spaces import Cells
from tests.fixtures.forks import start, wait_for
from tests.fixtures.searches import table, write

QUIET = Console(quiet=True)
CELLS = {"cells": 2, "width": 4, "nodes": 1, "reduce_at": []}
CELLS |= {"ops": ["none", "skip", "sep3", "conv3"]}
MOST = 25000
CHANGES: dict[str, Any] = {
    "space": {"class_path": "students.spaces.Cells", "init_args": CELLS},
    "parameters": None,
    "constraints": {"flops": {"max": MOST}},
    "strategy": {"class_path": "distill.search.Derived"},
    "trials": None,
    "seeds": [0, 1],
}


def supernet(folder: Path, epochs: int = 1) -> dict[str, Any]:
    """A recipe for supernets, without a teacher."""
    tree = yaml.safe_load(recipes.find("digits/darts").read_text())
    model = tree["model"]["init_args"]
    model["teacher"] = None
    del model["losses"]["kd"]
    model["losses"]["ce"]["weight"] = 1.0
    tree["data"]["init_args"]["train_samples"] = 100
    tree["trainer"] = {"max_epochs": epochs}
    path = folder / "darts.yaml"
    path.write_text(yaml.safe_dump(tree))
    return {"recipe": str(path)}


def changed(folder: Path, **changes: Any) -> Path:
    return write(folder, **({"supernet": supernet(folder)} | CHANGES | changes))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("derived")
    return with_supernets(make_plan(changed(folder), folder / "out", [], 0), QUIET, 1)


def test_designs_are_the_most_likely_ones_within_the_limit(trained: Plan) -> None:
    """By enumeration of the operations of two edges, which both are the node's."""
    space = Cells(**CELLS)
    for seed, derived in zip((0, 1), trained.derived, strict=True):
        made = MixedCells(10, 1, **space.supernet()["init_args"])
        run_dir = trained.folder / "supernet" / f"seed{seed}"
        made.load_state_dict(load_file(run_dir / "student.safetensors"))
        likely = {}
        for ks in itertools.product((1, 2, 3), repeat=2):
            cells = {"normal": [[(edge, CELLS["ops"][k]) for edge, k in enumerate(ks)]]}
            design = space.design(cells)
            if space.costs(design, 10, (1, 8, 8))["flops"] <= MOST:
                logs = made.alphas["normal"][:, 1:].log_softmax(1)
                likely[design] = sum(logs[e, k - 1].item() for e, k in enumerate(ks))
        assert 1 < len(likely) < 9
        assert derived == max(likely, key=likely.__getitem__)


def test_supernets_are_runs_of_their_seeds_under_the_limits_of_the_search(trained: Plan) -> None:
    for seed in (0, 1):
        text = (trained.folder / "supernet" / f"seed{seed}" / "config.yaml").read_text()
        config = yaml.safe_load(text)
        assert config["seed_everything"] == seed
        arguments = config["model"]["init_args"]
        assert arguments["limits"] == {"flops": MOST}
        assert arguments["student"]["init_args"]["width"] == 4


def test_perturbed_supernets_have_designs_within_the_limit_too(trained: Plan) -> None:
    run = run_of(trained, 0)
    design = derived_design(trained, run, Derived("perturbation"))
    assert trained.fits(design)
    assert design == derived_design(trained, run, Derived("perturbation"))


def test_each_derived_design_that_fits_is_a_candidate_once(trained: Plan) -> None:
    space = Cells(**CELLS)
    pairs = (("skip", "skip"), ("conv3", "conv3"), ("skip", "skip"), ("sep3", "skip"))
    nodes = [[list(enumerate(pair))] for pair in pairs]
    cheap, dear, same, other = (space.design({"normal": node}) for node in nodes)
    plan = replace(trained, derived=(cheap, dear, same, other))
    propose, trials = Proposer(plan, cheap), list[Any]()
    for number in range(2):
        trial = propose(number, trials)
        assert trial is not None
        trial.number, trial.state = number, TrialState.COMPLETE
        trial.value = trial.values = None
        trials.append(trial)
    assert [tuple(trial.user_attrs["parameters"]["design"]) for trial in trials] == [cheap, other]
    assert propose(2, trials) is None


def test_another_recipe_of_supernets_is_another_search(trained: Plan) -> None:
    path, before = trained.folder.parent / "search.yaml", trained.digest()
    supernet(trained.folder.parent, epochs=2)
    assert make_plan(path, trained.folder, [], 0).digest() != before
    supernet(trained.folder.parent)
    assert make_plan(path, trained.folder, [], 0).digest() == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"constraints": None}, "constraints: a gradient search without a cost term takes"),
        (
            {"constraints": {"latency_ms": {"max": 3.0}}},
            "constraints: a gradient search without a cost term takes whatever is largest; give",
        ),
        (
            {
                "space": {
                    "class_path": "students.spaces.Branches",
                    "init_args": {"layers": 2, "width": 8, "ops": ["conv3", "pool3"]},
                }
            },
            "space: Branches has no supernet for a gradient search, Cells has one",
        ),
        ({"supernet": {"recipe": "digits/student"}}, "supernet.recipe: needs distill.modules.Diff"),
        ({"supernet": {"recipe": "digits/nothing"}}, "no such recipe"),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_line_and_leaves_no_folder(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        search(changed(tmp_path, **changes), tmp_path / "out", QUIET)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_cost_without_weight_is_refused(tmp_path: Path) -> None:
    given = supernet(tmp_path) | {"overrides": {"model.cost_weight": 0}}
    with pytest.raises(RecipeError, match=r"supernet\.recipe: has cost_weight 0; a gradient"):
        search(changed(tmp_path, supernet=given), tmp_path / "out", QUIET)


@pytest.mark.slow
def test_a_search_that_is_killed_in_a_supernet_goes_on_to_the_same_files(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    strategy = {"class_path": "distill.search.Derived", "init_args": {"by": "perturbation"}}
    path = changed(tmp_path, supernet=supernet(tmp_path, epochs=12), strategy=strategy)
    search(path, whole, QUIET)
    for seed in (0, 1):
        process = start(search, path, out, QUIET)
        wait_for(process, out / "supernet" / f"seed{seed}" / "checkpoints" / "last.ckpt")
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    search(path, out, QUIET)
    times = {file: file.stat().st_mtime_ns for file in out.rglob("student.safetensors")}
    search(path, out, QUIET)
    assert times == {file: file.stat().st_mtime_ns for file in times}
    assert table(out / "results.csv") == table(whole / "results.csv")
    weights = [f"supernet/seed{seed}/student.safetensors" for seed in (0, 1)]
    for name in ("pareto.csv", "best.yaml", *weights):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
