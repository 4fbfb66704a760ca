import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "experiments" / "reuse" / "plain_loop.py"


@pytest.mark.slow
def test_a_plain_loop_learns_without_lightning() -> None:
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *steps, loaded = done.stdout.splitlines()
    values = [float(line.split()[1]) for line in steps]
    assert len(values) == 20
    assert statistics.mean(values[-5:]) < 0.9 * statistics.mean(values[:5])
    assert "distill.losses" in loaded.split()
    assert not {"pytorch_lightning", "lightning", "lightning_fabric"} & set(loaded.split())
