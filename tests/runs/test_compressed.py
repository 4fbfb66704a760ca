"""Quantised and pruned students through the toolkit: stages, resume, tests, caches, terms."""

import copy
import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import teachers
from distill import runs
from distill.cli import main
from distill.compress.pack import unpack
from distill.core.errors import Interrupted
from distill.core.files import sha256
from distill.core.trust import trusting
from tests.fixtures.runs import QUIET, assert_same, final_state
from tests.fixtures.stopped import (
    assert_resumes,
    assert_resumes_everywhere,
    assert_same_runs,
    fit,
    recipe,
    scheduler,
    stop,
)

Tree = dict[str, Any]
IMAGE = {"image": [1, 8, 8]}
QUANTIZED = {"class_path": "distill.compress.quantized", "init_args": IMAGE | {"weights": 2}}
PRUNED = {"class_path": "distill.compress.pruned", "init_args": IMAGE | {"flops": 0.6, "block": 2}}
KINDS = {"quantized": QUANTIZED, "pruned": PRUNED}


def of(wrap: Tree | None, student: Tree | None = None, **trainer: Any) -> Tree:
    """A recipe of 15 steps whose student is wrapped."""
    tree = recipe(scheduler("CosineAnnealingLR", T_max=3), "epoch", trainer)
    model = tree["model"]["init_args"]
    student = student or model["student"]
    if wrap is not None:
        arguments = {"model": student, **wrap["init_args"]}
        student = {"class_path": wrap["class_path"], "init_args": arguments}
    model |= {"student": student, "decay": "weights"}
    model["optimizer"]["init_args"]["lr"] = 0.05
    tree["data"]["init_args"]["test"] = 0.05
    return copy.deepcopy(tree)


def staged(**trainer: Any) -> Tree:
    tree = of(None, max_epochs=1, **trainer)
    tree["stages"] = {"dense": None, "half": {"wrap": PRUNED}, "low": {"wrap": QUANTIZED}}
    return copy.deepcopy(tree)


def logits(network: torch.nn.Module) -> torch.Tensor:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network.eval()(images)


def from_run(run_dir: Path) -> torch.nn.Module:
    with trusting(("tests",)):
        return teachers.from_run(str(run_dir))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dense, pruned, quantised: a run whose first stages are gone."""
    run_dir = tmp_path_factory.mktemp("staged") / "run"
    fit(staged(), run_dir)
    shutil.copytree(run_dir, run_dir.with_name("all"))
    for name in ("dense", "half"):
        shutil.rmtree(run_dir / "stages" / name)
    return run_dir


def test_stages_prune_then_quantise(whole: Path) -> None:
    folders = whole.with_name("all") / "stages"
    dense, half, low = (
        load_file(folders / n / "student.safetensors") for n in ("dense", "half", "low")
    )
    assert dense.keys() == half.keys() < low.keys()
    assert len(half["conv.weight"]) < len(dense["conv.weight"])
    assert half["conv.weight"].shape == low["conv.weight"].shape
    assert all((low[name] != 0).all() for name in low if name.endswith("step"))


def test_a_result_tells_bits_and_the_packed_file(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    student, packed = result["student"], whole / "student.packed.safetensors"
    assert student["bits"]["weights"] <= 8
    assert student["bits"]["activations"] == 8
    assert student["cpu_latency_ms"] is None
    assert 0 < student["nonzero"] <= 1
    assert student["bops"] <= 64 * student["flops"] // 2
    assert student["stored_bytes"] == packed.stat().st_size
    assert result["sha256"][packed.name] == sha256(packed)
    network, stored = from_run(whole), unpack(packed)
    layer = network.conv
    assert torch.equal(stored["conv.weight"], layer.weight_quantizer(layer.weight))
    half = json.loads((whole.with_name("all") / "stages/half/result.json").read_text())["student"]
    assert half["cpu_latency_ms"] > 0
    assert half["stored_ratio"] == 1
    assert half["bits"] == {"weights": 32, "activations": 32}


def test_a_staged_run_stands_alone(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    result = json.loads((whole / "result.json").read_text())
    for run_dir in (whole, whole / "stages" / "low"):
        tested = runs.evaluate(run_dir, trusted=("tests",), console=QUIET)
        assert tested["top1"]["student"] == result["student"]["top1"]["test"]["last"]
    assert torch.equal(logits(from_run(whole)), logits(from_run(whole / "stages" / "low")))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_began_from_another_stands_alone(kind: str, tmp_path: Path) -> None:
    fit(of(PRUNED, max_epochs=1), tmp_path / "first")
    begun = {"class_path": "teachers.from_run", "init_args": {"run_dir": str(tmp_path / "first")}}
    tree = of(KINDS[kind], begun)
    expected = fit(tree, tmp_path / "whole")
    trained = logits(from_run(tmp_path / "whole"))
    stopped = copy.deepcopy(tree)
    stopped["trainer"]["callbacks"] = [stop(7)]
    with pytest.raises(Interrupted):
        fit(stopped, tmp_path / "again")
    shutil.rmtree(tmp_path / "first")
    config = yaml.safe_load((tmp_path / "again" / "config.yaml").read_text())
    config["trainer"]["callbacks"] = []
    fit(config, tmp_path / "again", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "again", kind)
    written = [(tmp_path / n / "config.yaml").read_text() for n in ("whole", "again")]
    students = [yaml.safe_load(text)["model"]["init_args"]["student"] for text in written]
    assert students[0] == students[1]
    tested = runs.evaluate(tmp_path / "whole", trusted=("tests",), console=QUIET)
    assert tested["top1"]["student"] == expected["student"]["top1"]["test"]["last"]
    assert torch.equal(logits(from_run(tmp_path / "whole")), trained)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumes_to_the_same_bits(kind: str, tmp_path: Path) -> None:
    assert_resumes(of(KINDS[kind], max_epochs=2), [3, 7], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumes_from_each_step(kind: str, tmp_path: Path) -> None:
    assert_resumes_everywhere(of(KINDS[kind]), tmp_path, straight=1)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["half", "low"])
def test_stages_resume_within_and_between(stage: str, whole: Path, tmp_path: Path) -> None:
    tree = staged()
    tree["stages"][stage]["trainer.callbacks"] = [stop(3)]
    with pytest.raises(Interrupted):
        fit(tree, tmp_path / "run")
    del tree["stages"][stage]["trainer.callbacks"]
    fit(tree, tmp_path / "run", resume=True)
    assert_same(*(final_state(run / "stages" / "low") for run in (whole, tmp_path / "run")))
    names = ("student.safetensors", "config.yaml")
    for name in names:
        left, right = ((run / name).read_bytes() for run in (whole, tmp_path / "run"))
        assert left == right, name


def taught(kind: str, folder: Path) -> Tree:
    """A recipe with KD, RKD and OverHaul terms, from a cache."""
    net = {"class_path": "students.resnet8", "init_args": {"num_classes": 10, "in_channels": 1}}
    wrap = copy.deepcopy(KINDS[kind])
    if kind == "pruned":
        wrap["init_args"] |= {"keep": ["layer2"], "block": 8, "flops": 0.8}
    tree = of(wrap, net, max_epochs=1)
    model = tree["model"]["init_args"]
    model |= {"teacher": net, "cache": str(folder / "cache.sqlite")}
    channels = {"student_channels": 32, "teacher_channels": 32}
    overhaul = {"class_path": "distill.losses.OverhaulLoss", "init_args": channels}
    logits = {"student": "student.logits", "teacher": "teacher.logits"}
    maps = {"student": "student@layer2", "teacher": "teacher@layer2"}
    model["losses"] |= {
        "kd": {"loss": "distill.losses.KDLoss", "inputs": logits},
        "rkd": {"loss": "distill.losses.RKDLoss", "inputs": logits},
        "overhaul": {"loss": overhaul, "weight": 1e-3, "inputs": maps},
    }
    return copy.deepcopy(tree)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_terms_caches_and_reports_take_it(kind: str, tmp_path: Path) -> None:
    first, second = (fit(taught(kind, tmp_path), tmp_path / name) for name in ("live", "cached"))
    assert first["cache"]["batches_computed"] > 0
    assert second["cache"]["batches_computed"] == 0
    weights = [(tmp_path / n / "student.safetensors").read_bytes() for n in ("live", "cached")]
    assert weights[0] == weights[1]
    assert main(["report", str(tmp_path / "live")]) == 0
    tree = taught(kind, tmp_path)
    run_dir = {"run_dir": str(tmp_path / "live")}
    teacher = {"class_path": "teachers.from_run", "init_args": run_dir}
    tree["model"]["init_args"] |= {"teacher": teacher, "cache": None}
    assert fit(tree, tmp_path / "next")["teacher"]["parameters"] == first["student"]["parameters"]


@pytest.mark.slow
def test_a_bench_tells_stored_bytes_and_bit_operations(tmp_path: Path) -> None:
    for name, wrap in {"float": None, **KINDS}.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(of(wrap, max_epochs=1)))
    baseline, *methods = (str(tmp_path / f"{name}.yaml") for name in ("float", *KINDS))
    bench = {"baseline": baseline, "methods": methods, "seeds": [0]}
    (tmp_path / "bench.yaml").write_text(json.dumps(bench))
    command = ["bench", str(tmp_path / "bench.yaml"), "--out", str(tmp_path / "out")]
    assert main([*command, "--trust", "tests"]) == 0
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    bops = {name: int(row["bops"]) for name, row in rows.items()}
    assert bops["quantized"] < bops["pruned"] < bops["float"]
    assert all(int(row["stored_bytes"]) > 0 for row in rows.values())


WRONG = {
    "no network": ({"wrap": 3}, "wrap: needs a class_path"),
    "its model": ({"wrap": PRUNED, "wrap.model": "students.resnet8"}, "wrap.model: is the student"),
    "an argument": ({"wrap": QUANTIZED, "wrap.weigths": 4}, "wrap.weigths: quantized has no"),
    "bits": ({"wrap": QUANTIZED, "wrap.weights": 9}, "wrap: weights: bits must be a whole"),
    "a type": ({"wrap": PRUNED, "wrap.flops": "half"}, "wrap.flops: "),
    "too few": ({"wrap": PRUNED, "wrap.flops": 0.01}, "wrap: flops: 0.01 cannot be reached"),
    "an image": ({"wrap": QUANTIZED, "wrap.image": [3, 8, 8]}, "wrap: image: the network refuses"),
    "a name": ({"wrap": QUANTIZED, "wrap.skip": ["cnov"]}, "wrap: skip: the network has no module"),
    "a loss": (
        {"wrap": "torch.nn.CrossEntropyLoss"},
        "model.student.model: CrossEntropyLoss",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_wrong_wrap_is_told_in_a_line(
    case: tuple[Tree, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, message = case
    tree = staged()
    tree["stages"] = {"dense": None, "small": changes}
    (tmp_path / "recipe.yaml").write_text(json.dumps(tree))
    command = ["fit", str(tmp_path / "recipe.yaml"), "--run_dir", str(tmp_path / "run")]
    assert main([*command, "--trust", "tests"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"stages.small.{message}" in told
    assert not (tmp_path / "run").exists()


def test_quantising_before_pruning_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = staged()
    tree["stages"] = copy.deepcopy({"low": {"wrap": QUANTIZED}, "half": {"wrap": PRUNED}})
    (tmp_path / "recipe.yaml").write_text(json.dumps(tree))
    command = ["fit", str(tmp_path / "recipe.yaml"), "--run_dir", str(tmp_path / "run")]
    assert main([*command, "--trust", "tests"]) == 2
    assert "stages.half.wrap" in (told := capsys.readouterr().err)
    assert "prune first, then quantise" in told
