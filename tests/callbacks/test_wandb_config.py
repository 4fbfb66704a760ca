import copy
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from distill import run
from distill.callbacks import offline_if_unreachable
from tests.test_resume import RECIPE

WANDB = {"class_path": "pytorch_lightning.loggers.WandbLogger", "init_args": {"project": "p"}}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_without_a_key_it_logs_offline_with_one_warning() -> None:
    arguments: dict[str, Any] = {}
    with pytest.warns(UserWarning, match="no API key; logging offline") as warned:
        offline_if_unreachable(arguments)
    assert arguments == {"offline": True}
    assert len(warned) == 1


def test_without_a_server_it_logs_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    arguments: dict[str, Any] = {}
    with pytest.warns(UserWarning, match=r"no connection to 127\.0\.0\.1"):
        offline_if_unreachable(arguments)
    assert arguments == {"offline": True}


def test_with_key_and_server_it_stays_online(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        arguments: dict[str, Any] = {}
        offline_if_unreachable(arguments)
    assert arguments == {}


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_a_declared_mode_is_left_alone(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    arguments: dict[str, Any] = {}
    offline_if_unreachable(arguments)
    assert arguments == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_offline_run_holds_the_resolved_recipe_and_the_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "")
    secret = "not-a-real-key-" + "x" * 25
    monkeypatch.setenv("SOME_SECRET", secret)
    tree = copy.deepcopy(RECIPE)
    tree["trainer"] |= {"max_epochs": 1, "logger": {**WANDB, "init_args": {"offline": True}}}
    run_dir = tmp_path / "run"
    run.fit(tree, run_dir, trusted=("tests",), console=Console(quiet=True))
    import wandb

    wandb.finish()
    (folder,) = run_dir.glob("wandb/offline-run-*")
    wandb_command = str(Path(sys.executable).with_name("wandb"))
    done = subprocess.run(
        [wandb_command, "leet", "inspect", "--json", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    for expected in ("distill.losses.OverhaulLoss", "train/loss/kd", "val/top1"):
        assert expected in done.stdout
    assert not any(
        secret.encode() in path.read_bytes() for path in run_dir.rglob("*") if path.is_file()
    )
