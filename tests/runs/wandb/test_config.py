"""Training starts and ends whatever Weights & Biases does."""

import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.recipes import RECIPE
from tests.fixtures.wandb_server import KEY, OWNER, server

CODE = """
import sys
from distill.cli import main
sys.exit(main(["fit", sys.argv[1], "--run_dir", sys.argv[2], "--trust", "tests"]))
"""


@pytest.mark.slow
def test_a_server_that_fails_after_the_check_does_not_stop_training(tmp_path: Path) -> None:
    """It knows the key's owner, and fails from then on."""
    tree = copy.deepcopy(RECIPE)
    tree["trainer"]["max_epochs"] = 1
    tree["trainer"]["logger"] = {"class_path": "pytorch_lightning.loggers.WandbLogger"}
    (tmp_path / "recipe.yaml").write_text(json.dumps(tree))
    run_dir = tmp_path / "run"
    with server(200, OWNER, later=500) as (url, sent):
        own = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": url, "HOME": str(tmp_path)}
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(tmp_path / "recipe.yaml"), str(run_dir)],
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=120,
        )
        seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert len(sent) > 1  # it went on to ask for a run
    assert "logging offline" in done.stderr
    assert (run_dir / "result.json").is_file()
    assert list(run_dir.glob("wandb/offline-run-*/*.wandb"))
    assert len((run_dir / "metrics.csv").read_text().splitlines()) > 5
    assert seconds < 75
    files = [path for path in run_dir.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in files)
