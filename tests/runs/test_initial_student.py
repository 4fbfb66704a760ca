import io
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import save_file

import students
from distill import runs
from distill.runs.initial_student import doubts
from distill.runs.session import Session
from tests.fixtures.stopped import recipe

NET = {"class_path": "students.resnet8", "init_args": {"num_classes": 10, "in_channels": 1}}
KEEPS = {"class_path": "distill.callbacks.Sparsify"}


def tree(student: Any, **trainer: Any) -> dict[str, Any]:
    made = recipe(None, "epoch", {"max_epochs": 1, **trainer})
    made["model"]["init_args"]["student"] = student
    return made


def low(model: Any) -> dict[str, Any]:
    arguments = {"model": model, "image": [1, 8, 8]}
    return {"class_path": "distill.compress.quantized", "init_args": arguments}


def begun(path: Path, zeros: str = "") -> dict[str, Any]:
    """A student whose batch norms have seen a batch, filled from a file; one weight has zeros."""
    network = students.resnet8(num_classes=10, in_channels=1)
    network(torch.rand(4, 1, 8, 8))
    state = network.state_dict()
    if zeros:
        state[zeros][2:] = 0
    save_file(state, path)
    arguments = {"model": NET, "path": str(path)}
    return {"class_path": "teachers.from_checkpoint", "init_args": arguments}


def test_a_quantised_student_that_was_never_trained_is_told(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=400)
    runs.fit(tree(low(NET)), tmp_path / "run", trusted=("tests",), console=console)
    told = [line for line in console.file.getvalue().splitlines() if line.startswith("warning")]
    assert len(told) == 1
    assert "quantised but not trained: begin with teachers.from_run" in told[0]


def test_one_that_was_trained_or_is_filled_later_is_not(tmp_path: Path) -> None:
    trained = tree(low(begun(tmp_path / "file.safetensors")))
    warm = {"class_path": "distill.callbacks.WarmStart", "init_args": {"run_dir": "elsewhere"}}
    for made in (trained, tree(low(NET), callbacks=[warm]), tree(NET)):
        assert doubts(Session(made, tmp_path, ("tests",))) == []


def test_zeros_that_nothing_keeps_are_told(tmp_path: Path) -> None:
    sparse = begun(tmp_path / "file.safetensors", "layer1.0.conv1.weight")
    for student in (sparse, low(sparse)):
        (told,) = doubts(Session(tree(student), tmp_path, ("tests",)))
        assert "layer1.0.conv1.weight is mostly zeros, which training fills" in told
        kept = Session(tree(student, callbacks=[KEEPS]), tmp_path, ("tests",))
        assert doubts(kept) == []
