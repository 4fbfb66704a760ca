"""Test images of other sizes than those that a run was trained on."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from distill import runs
from distill.cli import main
from tests.fixtures.images import folder
from tests.fixtures.runs import QUIET

CE = {"input": "student.logits", "target": "batch.target"}


def recipe(data: dict[str, Any]) -> dict[str, Any]:
    channels = 1 if "Digits" in data["class_path"] else 3
    network = {"num_classes": 10 if channels == 1 else 3, "in_channels": channels}
    student = {"class_path": "tests.fixtures.networks.tiny", "init_args": network}
    losses = {"ce": {"loss": "torch.nn.CrossEntropyLoss", "inputs": CE}}
    model = {"teacher": None, "student": student, "losses": losses}
    return {
        "model": {"class_path": "distill.modules.Distillation", "init_args": model},
        "data": data,
        "trainer": {"max_epochs": 1, "accelerator": "cpu"},
    }


def test_images_of_several_sizes_are_told_and_then_resized(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, other = folder(tmp_path / "train"), folder(tmp_path / "other", each=2)
    Image.new("RGB", (20, 24)).save(tmp_path / "other" / "c" / "1.png")
    arguments = {"train": train, "val": 0.2, "batch_size": 8}
    data = {"class_path": "distill.data.Images", "init_args": arguments}
    runs.fit(recipe(data), tmp_path / "run", trusted=("tests",), console=QUIET)
    command = ["test", str(tmp_path / "run"), f"--data.test={other}", "--trust", "tests"]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "20 x 24 pixels" in told
    assert "set data.image_size" in told
    assert main([*command, "--data.image_size=16"]) == 0
    assert json.loads((tmp_path / "run" / "test.json").read_text())["images"] == 6


def test_data_that_have_one_size_refuse_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"train_samples": 16, "batch_size": 16}
    data = {"class_path": "distill.data.Digits", "init_args": small}
    runs.fit(recipe(data), tmp_path / "run", trusted=("tests",), console=QUIET)
    command = ["test", str(tmp_path / "run"), "--data.image_size=16", "--trust", "tests"]
    assert main(command) == 2
    assert "data.image_size: Digits has no argument 'image_size'" in capsys.readouterr().err
