"""Runs whose weights are kept in another precision than float32."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from distill import runs
from distill.runs import precision
from distill.runs.checkpoint_io import SafeCheckpointIO
from distill.wiring.loss_modules import LossModules
from tests.fixtures.recipes import RECIPE

PEERS = {
    "class_path": "distill.modules.MutualLearning",
    "init_args": {
        "student": {"class_path": "tests.fixtures.networks.tiny"},
        "peers": {
            "second": {"class_path": "tests.fixtures.networks.tiny", "init_args": {"width": 12}}
        },
        "losses": {
            name: {"ce": RECIPE["model"]["init_args"]["losses"]["ce"]}
            for name in ("student", "second")
        },
    },
}
CKA = {
    "class_path": "distill.callbacks.CKA",
    "init_args": {"pairs": {"last": ["student@fc:input", "teacher@fc:input"]}},
}


def fit(run_dir: Path, wanted: str, peers: bool = False, **options: Any) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    tree["trainer"] |= {"precision": wanted, "callbacks": [] if peers else [CKA]}
    if peers:
        tree["model"] = copy.deepcopy(PEERS)
    return runs.fit(tree, run_dir, trusted=("tests",), console=Console(quiet=True), **options)


def losses(run_dir: Path) -> list[float]:
    lines = (run_dir / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("train/loss")
    return [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]


@pytest.mark.parametrize(
    ("wanted", "dtype", "peers"),
    [
        ("bf16-true", torch.bfloat16, False),
        ("64-true", torch.float64, True),
        pytest.param("bf16-true", torch.bfloat16, True, marks=pytest.mark.slow),
        pytest.param("64-true", torch.float64, False, marks=pytest.mark.slow),
    ],
)
def test_a_run_trains_is_measured_and_resumes(
    wanted: str, dtype: torch.dtype, peers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    result = fit(tmp_path / "run", wanted, peers)
    usual = fit(tmp_path / "usual", "32-true", peers)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "usual"), rel=0.1)
    assert result["student"]["flops"] == usual["student"]["flops"]
    assert {value.dtype for value in load_file(tmp_path / "run/student.safetensors").values()} == {
        dtype,
        torch.int64,  # a batch norm's counter
    }
    resumed = fit(tmp_path / "run", wanted, peers, resume=True)
    assert resumed["student"]["top1"]["val"]["last"] == result["student"]["top1"]["val"]["last"]


def test_what_losses_keep_stays_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    fit(tmp_path, "bf16-true")
    state = SafeCheckpointIO().load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]
    kept = {name: value.dtype for name, value in state.items() if name.startswith("losses.")}
    assert "losses.overhaul.connector.0.weight" in kept
    assert {dtype for dtype in kept.values() if dtype.is_floating_point} == {torch.float32}


def test_modules_of_losses_can_be_cast_to_more() -> None:
    linear = torch.nn.Linear(2, 2)
    modules = LossModules({"linear": linear})
    before = linear.weight.clone()
    assert torch.equal(modules.half()["linear"].weight, before)
    assert modules.double()["linear"].weight.dtype == torch.float64
    assert modules.half()["linear"].weight.dtype == torch.float64
