"""What arrives at Weights & Biases, read back from the log that it would be sent from."""

import base64
import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from pytorch_lightning.loggers import WandbLogger
from rich.console import Console

from distill import runs
from distill.results.predictions import load_predictions
from distill.runs.wandb.results import log_results
from tests.fixtures.recipes import RECIPE

SECRET = "not-a-real-key-" + "x" * 25


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a run that logged offline."""
    run_dir = tmp_path_factory.mktemp("wandb") / "run"
    tree = copy.deepcopy(RECIPE)
    logger = {"class_path": "pytorch_lightning.loggers.WandbLogger", "init_args": {"offline": True}}
    tree["trainer"] |= {"max_epochs": 2, "logger": logger}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", "")
        patch.setenv("SOME_SECRET", SECRET)
        patch.setenv("HOME", str(run_dir.parent))
        patch.setenv("WANDB_MODE", "offline")
        runs.fit(tree, run_dir, trusted=("tests",), console=Console(quiet=True))
        import wandb

        wandb.finish()
        yield run_dir


def records(run_dir: Path) -> list[dict[str, Any]]:
    (folder,) = run_dir.glob("wandb/offline-run-*")
    command = str(Path(sys.executable).with_name("wandb"))
    done = subprocess.run(
        [command, "leet", "inspect", "--json", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def logged(finished: Path) -> list[dict[str, Any]]:
    return records(finished)


def of_type(logged: list[dict[str, Any]], name: str) -> list[Any]:
    return [record[name] for record in logged if record["type"] == name]


def test_the_curves_arrive(logged: list[dict[str, Any]]) -> None:
    history = [entry["item"] for entry in of_type(logged, "history")]
    losses = [item["train/loss/kd"] for item in history if "train/loss/kd" in item]
    assert len(losses) == 10  # steps
    assert len([item for item in history if "val/top1" in item]) == 2  # epochs


def test_the_resolved_recipe_is_the_config(logged: list[dict[str, Any]]) -> None:
    config = json.dumps(of_type(logged, "config"))
    assert "distill.losses.OverhaulLoss" in config
    assert "trainer" in config


def test_the_summary_holds_the_numbers_of_the_result(
    finished: Path, logged: list[dict[str, Any]]
) -> None:
    summary = {}
    for entry in of_type(logged, "summary"):
        summary |= entry["update"]
    result = json.loads((finished / "result.json").read_text())
    assert summary["student.top1.test.last"] == result["student"]["top1"]["test"]["last"]
    assert summary["diagnostics.agreement"] == result["diagnostics"]["agreement"]
    assert summary["student.flops"] == result["student"]["flops"]


def test_the_images_of_disagreement_are_a_table(
    finished: Path, logged: list[dict[str, Any]]
) -> None:
    (path,) = finished.glob("wandb/offline-run-*/files/media/table/val/*.table.json")
    table = json.loads(path.read_text())
    predictions = load_predictions(finished)
    assert predictions is not None
    assert predictions.teacher is not None
    columns = dict(zip(table["columns"], zip(*table["data"], strict=True), strict=True))
    assert list(columns["index"]) == predictions.index[predictions.shown].tolist()
    assert columns["teacher"][0] == str(int(predictions.teacher[predictions.shown[0]]))
    (files,) = (
        entry["manifest"]["contents"]
        for entry in of_type(logged, "artifact")
        if entry["type"] == "run_table"
    )
    pictures = {file["path"] for file in files} - {"val/disagreements.table.json"}
    assert len(pictures) == len(predictions.images.flatten(1).unique(dim=0))


def test_a_picture_of_masks_or_boxes_is_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}
    run = SimpleNamespace(summary={}, log=told.update, log_artifact=lambda _: None, id="x")
    monkeypatch.setattr(WandbLogger, "experiment", run)
    for name in ("student.safetensors", "config.yaml"):
        (tmp_path / name).touch()
    sheet = Image.new("RGB", (40, 30), "red")
    log_results([WandbLogger(offline=True, save_dir=tmp_path)], {}, tmp_path, None, sheet)
    assert list(told) == ["val/side_by_side"]
    assert told["val/side_by_side"].image.tobytes() == sheet.tobytes()


def test_weights_and_recipe_are_artifacts(finished: Path, logged: list[dict[str, Any]]) -> None:
    artifacts = {
        entry["type"]: entry["manifest"]["contents"] for entry in of_type(logged, "artifact")
    }
    for kind, name in (("student", "student.safetensors"), ("recipe", "config.yaml")):
        (file,) = artifacts[kind]
        assert file["path"] == name
        assert Path(file["local_path"]) == finished / name  # not a copy
        digest = hashlib.md5((finished / name).read_bytes(), usedforsecurity=False).digest()
        assert base64.b64decode(file["digest"]) == digest


def test_no_secret_is_in_any_file(finished: Path) -> None:
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
