"""Stages follow each other in one run, each from where the one before ended."""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import teachers
from distill import recipes, runs
from distill.cli import main
from distill.core.errors import Interrupted, RecipeError
from distill.core.trust import trusting
from distill.recipes import Recipe
from distill.recipes.build import build
from distill.recipes.stages import last_stage, stages
from distill.runs.checkpoint_io import SafeCheckpointIO
from distill.runs.repeatable import RepeatableRun, digest
from distill.runs.staged_result import merge_stage_results
from distill.runs.staged_weights import init_from_stage
from tests.fixtures.recipes import RECIPE
from tests.fixtures.runs import QUIET, assert_same, final_state, metrics

ROOT = Path(__file__).parents[2]
STAGES = {
    "connectors": {"losses": ["overhaul"], "train": ["losses"], "trainer.max_epochs": 1},
    "student": {"trainer.max_epochs": 2},
}


def recipe(stages: object = None) -> dict[str, Any]:
    """Two steps an epoch."""
    tree = copy.deepcopy(RECIPE)
    few = {"val": 0.05, "test": 0.05, "batch_size": 16, "train_samples": 33}
    tree["data"]["init_args"] = few
    del tree["model"]["init_args"]["losses"]["kd"], tree["model"]["init_args"]["scheduler"]
    return tree | {"stages": copy.deepcopy(STAGES if stages is None else stages)}


def trees(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: own.tree for name, own in stages(Recipe(tree)).items()}


def last(tree: dict[str, Any]) -> dict[str, Any]:
    return last_stage(Recipe(tree)).tree


def fit(tree: dict[str, Any], run_dir: Path, **options: Any) -> dict[str, Any]:
    return runs.fit(tree, run_dir, trusted=("tests",), console=QUIET, **options)


def state(folder: Path) -> dict[str, torch.Tensor]:
    loaded = SafeCheckpointIO().load_checkpoint(folder / "checkpoints" / "last.ckpt")
    return dict(loaded["state_dict"])


def initial_state(tree: dict[str, Any]) -> dict[str, torch.Tensor]:
    return dict(build(tree, "runs", ("tests",)).model.state_dict())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    fit(recipe(), run_dir, name="digits/test")
    return run_dir


def test_a_stage_is_the_recipe_with_its_changes() -> None:
    tree = recipe({"a": {"model.optimizer.lr": 0.2, "losses": ["ce"]}})
    tree["stages"]["b"] = {"trainer.max_epochs": 7}
    tree["trainer"]["max_epochs"] = 5
    tree["data"]["init_args"]["views"] = "${trainer.max_epochs}"
    a, b = trees(tree).values()
    optimizers = [stage["model"]["init_args"]["optimizer"]["init_args"] for stage in (a, b)]
    assert optimizers == [{"lr": 0.2, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9}]
    assert list(a["model"]["init_args"]["losses"]) == ["ce"]
    assert list(b["model"]["init_args"]["losses"]) == ["ce", "overhaul"]
    assert [stage["data"]["init_args"]["views"] for stage in (a, b)] == [5, 7]
    assert last(tree) == b


def test_a_key_comes_before_those_below_it() -> None:
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0}}
    tree = recipe({"a": {"model.optimizer.lr": 0.2, "model.optimizer": sgd}})
    assert last(tree)["model"]["init_args"]["optimizer"]["init_args"] == {"lr": 0.2}


def test_stages_are_wandb_runs_of_their_own_where_a_sweep_gives_the_run_an_id() -> None:
    arguments = {"id": "abc", "name": "trial001", "group": "sweep"}
    tree = recipe(STAGES)
    tree["trainer"]["logger"] = [{"class_path": "WandbLogger", "init_args": arguments}]
    found = [own["trainer"]["logger"][0]["init_args"] for own in trees(tree).values()]
    assert [each["id"] for each in found] == ["abc-connectors", "abc-student"]
    assert [each["name"] for each in found] == ["trial001-connectors", "trial001-student"]
    assert {each["group"] for each in found} == {"sweep"}


def test_one_stage_is_plain_training(tmp_path: Path) -> None:
    tree = recipe({"all": {}})
    tree["trainer"]["max_epochs"] = 1
    fit(tree, tmp_path / "staged")
    del tree["stages"]
    fit(tree, tmp_path / "plain")
    assert_same(final_state(tmp_path / "plain"), final_state(tmp_path / "staged/stages/all"))
    assert metrics(tmp_path / "plain") == metrics(tmp_path / "staged")


def test_what_is_not_trained_stays_as_it_was(whole: Path) -> None:
    before = initial_state(trees(recipe())["connectors"])
    after = state(whole / "stages" / "connectors")
    assert before.keys() == after.keys()
    student = [name for name in before if name.startswith("student.")]
    assert "student.bn.running_mean" in student
    for name in student:
        assert torch.equal(before[name], after[name]), name
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert "losses.overhaul.connector.0.weight" in changed
    assert "losses.overhaul.connector.1.running_mean" in changed


def test_a_stage_begins_where_the_one_before_ended(whole: Path) -> None:
    left = whole / "stages" / "connectors"
    own = init_from_stage(Recipe(trees(recipe())["student"]), [left]).tree
    begun = initial_state(own)
    ended = state(left)
    assert all(torch.equal(begun[name], ended[name]) for name in ended)


def test_a_loss_goes_on_after_a_stage_without_it(whole: Path, tmp_path: Path) -> None:
    left = whole / "stages" / "connectors"
    arguments = init_from_stage(Recipe(trees(recipe())["student"]), [tmp_path, left]).tree["model"][
        "init_args"
    ]
    student, loss = arguments["student"], arguments["losses"]["overhaul"]["loss"]
    assert student["init_args"]["path"] == str(tmp_path / "student.safetensors")
    assert loss["init_args"]["path"] == str(left / "losses" / "overhaul.safetensors")
    assert arguments["losses"]["ce"] == recipe()["model"]["init_args"]["losses"]["ce"]


def test_a_mean_teacher_begins_as_the_student_that_is_handed_over(whole: Path) -> None:
    tree = recipe()
    arguments = tree["model"]["init_args"]
    tree["model"] = {
        "class_path": "distill.modules.MeanTeacher",
        "init_args": {"student": arguments["student"], "losses": {"ce": arguments["losses"]["ce"]}},
    }
    del tree["stages"]
    model = build(init_from_stage(Recipe(tree), [whole]), "runs", ("tests",)).model
    student = load_file(whole / "student.safetensors")
    assert all(torch.equal(model.teacher.state_dict()[name], student[name]) for name in student)


def test_peers_are_handed_over(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "peers").mkdir()
    weights = load_file(whole / "student.safetensors")
    save_file(weights, tmp_path / "peers" / "b.safetensors")
    save_file(weights, tmp_path / "student.safetensors")
    arguments = recipe()["model"]["init_args"]
    ce = {"loss": "torch.nn.CrossEntropyLoss"}
    ce["inputs"] = {"input": "peer.logits", "target": "batch.target"}
    peers = {"b": arguments["student"], "c": arguments["student"]}
    model = {"student": arguments["student"], "peers": peers, "losses": {"each": {"ce": ce}}}
    tree = {"model": {"class_path": "distill.modules.MutualLearning", "init_args": model}}
    tree["data"] = recipe()["data"]
    begun = initial_state(init_from_stage(Recipe(tree), [tmp_path]))
    for name, value in weights.items():
        assert torch.equal(begun[f"student.{name}"], value)
        assert torch.equal(begun[f"peers.b.{name}"], value)
    assert not torch.equal(begun["peers.c.fc.weight"], weights["fc.weight"])


def test_the_run_is_told_as_one(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    one, two = (json.loads((whole / f"stages/{s}/result.json").read_text()) for s in STAGES)
    assert [stage["name"] for stage in result["stages"]] == list(STAGES)
    assert [stage["steps"] for stage in result["stages"]] == [2, 4]
    assert (result["epochs"], result["steps"]) == (3, 6)
    assert result["wall_s"] == pytest.approx(one["wall_s"] + two["wall_s"], abs=0.011)
    assert result["student"] == two["student"]
    assert result["recipe"] == "digits/test"
    rows = [row for row in metrics(whole) if "train/loss" in row]
    assert [int(row["step"]) for row in rows] == list(range(6))
    assert [int(row["epoch"]) for row in rows] == [0, 0, 1, 1, 2, 2]
    assert [row.keys() >= {"train/loss/ce"} for row in rows] == [False] * 2 + [True] * 4
    for name in ("student.safetensors", "validation.safetensors", "preprocess.json"):
        assert (whole / name).read_bytes() == (whole / "stages/student" / name).read_bytes()
    assert "3 epochs, 6 steps" in (whole / "README.md").read_text()


def test_the_last_stages_picture_is_the_runs(whole: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(whole, run_dir)
    (run_dir / "stages/student/validation.png").write_bytes(b"a picture")
    told = {s: json.loads((run_dir / f"stages/{s}/result.json").read_text()) for s in STAGES}
    merge_stage_results(told, run_dir)
    assert (run_dir / "validation.png").read_bytes() == b"a picture"


def test_the_run_can_be_tested_and_teach(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    tested = runs.evaluate(whole, trusted=("tests",), console=QUIET)
    assert tested["top1"]["student"] == result["student"]["top1"]["test"]["last"]
    with trusting(["tests"]):
        teacher = teachers.from_run(str(whole)).state_dict()
    weights = load_file(whole / "student.safetensors")
    assert all(torch.equal(teacher[name], weights[name]) for name in weights)


MOMENTS = {
    "inside epochs": {"connectors": (0, False), "student": (2, False)},
    "at their ends": {"connectors": (2, True), "student": (3, False)},
}


@pytest.mark.parametrize(
    "moments",
    [MOMENTS["inside epochs"], pytest.param(MOMENTS["at their ends"], marks=pytest.mark.slow)],
    ids=MOMENTS.keys(),
)
def test_a_run_stopped_in_every_stage_ends_bitwise_the_same(
    moments: dict[str, tuple[int, bool]], whole: Path, tmp_path: Path
) -> None:
    tree, run_dir = recipe(), tmp_path / "run"
    for stage, (step, in_validation) in moments.items():
        sender = {"signum": int(signal.SIGTERM), "step": step, "in_validation": in_validation}
        callback = {"class_path": "tests.fixtures.runs.SendSignal", "init_args": sender}
        tree["stages"][stage]["trainer.callbacks"] = [callback]
    resume = f"distill resume {run_dir} --trust tests"
    with pytest.raises(Interrupted, match=f"SIGTERM: saved .* {resume}$"):
        fit(tree, run_dir)
    assert not (run_dir / "stages/student").exists()
    silent = [f"--stages.{stage}.trainer.callbacks=null" for stage in STAGES]
    command = ["resume", str(run_dir), "--trust", "tests"]
    assert main([*command, silent[0]]) == 128 + signal.SIGTERM
    assert (run_dir / "stages/connectors/result.json").exists()
    assert not (run_dir / "result.json").exists()
    assert main([*command, *silent]) == 0
    assert_as(whole, run_dir)


def assert_as(whole: Path, run_dir: Path) -> None:
    for stage in STAGES:
        assert_same(final_state(whole / "stages" / stage), final_state(run_dir / "stages" / stage))
    ours, theirs = (load_file(folder / "student.safetensors") for folder in (run_dir, whole))
    assert_same(ours, theirs)
    assert metrics(run_dir) == metrics(whole)


def test_a_run_killed_before_it_wrote_its_results_resumes(whole: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    (run_dir / "result.json").unlink()
    (run_dir / "stages/student/result.json").unlink()
    fit(recipe(), run_dir, resume=True)
    assert_as(whole, run_dir)


def test_a_bench_goes_on_with_a_stopped_run(whole: Path, tmp_path: Path) -> None:
    tree = recipe()
    one = RepeatableRun(
        Recipe(tree), tmp_path / "run", "digits/test", digest(Recipe(tree), ""), ("tests",)
    )
    shutil.copytree(whole / "stages/connectors", tmp_path / "run/stages/connectors")
    (tmp_path / "run/bench.sha256").write_text(one.digest)
    begun = (tmp_path / "run/stages/connectors/result.json").stat().st_mtime_ns
    result = one.train()
    assert (tmp_path / "run/stages/connectors/result.json").stat().st_mtime_ns == begun
    assert one.train() == one.result() == json.loads(json.dumps(result))
    assert_as(whole, tmp_path / "run")


def test_the_order_of_stages_is_part_of_a_runs_digest() -> None:
    tree = recipe()
    turned = tree | {"stages": dict(reversed(tree["stages"].items()))}
    assert digest(Recipe(tree), "") != digest(Recipe(turned), "")


MALFORMED = {
    "no stage": ({}, "stages", "expected the keys of each stage under its name"),
    "a list": (["connectors"], "stages", "expected the keys of each stage under its name"),
    "a name": ({"a/b": {}}, "stages.a/b", "letters, digits"),
    "a value": ({"a": 3}, "stages.a", "expected a mapping, got int 3"),
    "unknown section": ({"a": {"trianer.max_epochs": 1}}, "stages.a.trianer.max_epochs", "'train"),
    "whole section": ({"a": {"trainer": {"max_epochs": 1}}}, "stages.a.trainer", "dotted keys"),
    "student": ({"a": {"model.student.width": 4}}, "stages.a.model.student.width", "the same"),
    "unknown term": ({"a": {"losses": ["overhual"]}}, "stages.a.losses", "'overhaul'"),
    "no list": ({"a": {"losses": "overhaul"}}, "stages.a.losses", "needs a list of names"),
    "no names": ({"a": {"train": []}}, "stages.a.train", "needs a list of names"),
    "unknown part": ({"a": {"train": ["student.bm"]}}, "stages.a.train", "'student.bn'"),
    "unknown key": (
        {"a": {}, "b": {"trainer.max_epoch": 1}},
        "stages.b.trainer.max_epoch",
        "'max_epochs'",
    ),
    "wrong value": (
        {"a": {"trainer.max_epochs": "many"}},
        "stages.a.trainer.max_epochs",
        "'many'",
    ),
    "through a number": (
        {"a": {"trainer.max_epochs.x": 1}},
        "stages.a.trainer.max_epochs.x",
        "keys",
    ),
    "no such value": ({"a": {"data.batch_size": "${batch}"}}, "stages.a.data.batch_size", "batch"),
    "wiring of a later stage": (
        {"a": {}, "b": {"model.losses.overhaul.inputs.student": "student@reul"}},
        "stages.b.model.losses.overhaul.inputs",
        "'relu'",
    ),
    "another loss of that name": (
        {
            "a": {},
            "b": {
                "model.losses.overhaul.loss": {
                    "class_path": "distill.losses.HintLoss",
                    "init_args": {"student_channels": 8, "teacher_channels": 12},
                }
            },
        },
        "stages.b.model.losses.overhaul",
        "stage 'b' expects losses.overhaul.margin nothing, stage 'a' saved (1, 12, 1, 1)",
    ),
    "nothing to learn": (
        {"a": {"losses": ["overhaul"], "train": ["student.fc"]}},
        "stages.a.train",
        "no term depends on student.fc",
    ),
}


@pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_stages_are_refused_in_one_line(
    case: tuple[object, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages, key, hint = case
    path, run_dir = tmp_path / "recipe.json", tmp_path / "run"
    path.write_text(json.dumps(recipe(stages)))
    code = main(["fit", str(path), "--run_dir", str(run_dir), "--trust", "tests"])
    message = capsys.readouterr().err
    assert code == 2, message
    assert message.startswith(f"distill: {key}: ")
    assert hint in message
    assert message.count("\n") == 1
    assert not run_dir.exists()


def test_what_is_wrong_outside_the_stages_keeps_its_key(tmp_path: Path) -> None:
    tree = recipe()
    tree["data"]["init_args"]["batchsize"] = 4
    with pytest.raises(RecipeError, match=r"^data\.batchsize: "):
        fit(tree, tmp_path / "run")


def test_an_override_reaches_one_stage(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe()))
    overrides = ["stages.student.trainer.max_epochs=9", "stages.student.model.optimizer.lr=0.5"]
    tree = recipes.load(path, overrides)
    assert tree["stages"]["connectors"] == STAGES["connectors"]
    changed = {"trainer.max_epochs": 9, "model.optimizer.lr": 0.5}
    assert tree["stages"]["student"] == changed
    with pytest.raises(RecipeError, match=r"^stages\.studnet\..*: no stage 'studnet', did you"):
        recipes.load(path, ["stages.studnet.trainer.max_epochs=9"])


def test_other_commands_look_at_a_recipe_without_stages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, picture = tmp_path / "recipe.json", str(tmp_path / "augment.png")
    path.write_text(json.dumps(recipe()))
    show = ["augment", "show", str(path), "--trust", "tests", "--out", picture]
    assert main(show) == 2
    assert "stages: only fit, bench and sweep train in stages; --stages=null" in (
        capsys.readouterr().err
    )
    assert main([*show, "--stages=null"]) == 0


def test_a_damaged_checkpoint_stops_the_next_stage(whole: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(run_dir / "stages/student")
    path = run_dir / "stages/connectors/checkpoints/last.ckpt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecipeError, match=r"last\.ckpt: is missing or damaged"):
        fit(recipe(), run_dir, resume=True)
    assert (run_dir / "stages/connectors/result.json").exists()


def test_the_page_shows_a_shipped_recipe_and_its_links_lead_somewhere() -> None:
    page = (ROOT / "docs" / "stages.md").read_text()
    shown = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    shipped = yaml.safe_load(recipes.find("digits/hint_then_kd").read_text())
    assert shown["stages"] == shipped["stages"]
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links
    assert all((ROOT / "docs" / link).is_file() for link in links)


@pytest.mark.slow
def test_two_processes_go_through_the_stages_together(tmp_path: Path) -> None:
    tree = recipe()
    tree["trainer"] |= {"devices": 2, "strategy": "ddp"}
    path, run_dir = tmp_path / "recipe.json", tmp_path / "run"
    path.write_text(json.dumps(tree))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "distill",
            "fit",
            str(path),
            "--run_dir",
            str(run_dir),
            "--trust=tests",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((run_dir / "result.json").read_text())
    assert [stage["epochs"] for stage in result["stages"]] == [1, 2]
