import runpy
import statistics
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "experiments" / "reuse" / "plain_loop.py"


def test_a_plain_loop_learns(capsys: pytest.CaptureFixture[str]) -> None:
    with torch.random.fork_rng():
        runpy.run_path(str(SCRIPT))
    values = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(values) == 20
    assert statistics.mean(values[-5:]) < 0.9 * statistics.mean(values[:5])


def test_it_imports_no_lightning() -> None:
    lines = [line for line in SCRIPT.read_text().splitlines() if "import" in line]
    assert "from distill.losses import HintLoss, KDLoss, RKDLoss" in lines
    assert not [line for line in lines if "lightning" in line]
