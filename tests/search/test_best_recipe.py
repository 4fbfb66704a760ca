"""The best design of a search goes through everything that a recipe of one's own does."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.fixtures.searches import table, write


@pytest.mark.slow
def test_the_best_recipe_is_trained_tested_exported_taught_by_compared_and_reported(
    tmp_path: Path,
) -> None:
    def distill(*arguments: object) -> str:
        command = [sys.executable, "-m", "distill", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    finals = {"seeds": [1, 2], "top": 2, "random": 1, "tune": 2}
    finals |= {"overrides": {"trainer.max_epochs": 20}}
    distill("search", write(tmp_path, finals=finals), "--out=found")
    assert len(list((tmp_path / "found/finals/tune").glob("*/results.csv"))) == 4
    distill("fit", "found/best.yaml", "--run_dir=whole")
    command = ["fit", "found/best.yaml", "--run_dir=killed"]
    process = subprocess.Popen([sys.executable, "-m", "distill", *command], cwd=tmp_path)
    while not (tmp_path / "killed/checkpoints/last.ckpt").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed/result.json").exists()
    distill("resume", "killed")
    weights = [tmp_path / run / "student.safetensors" for run in ("killed", "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert "top1" in distill("test", "whole")
    distill("export", "whole", "--out=best.onnx")
    assert (tmp_path / "best.onnx").stat().st_size > 1000
    taught = "--model.teacher.run_dir=whole"
    distill(
        "fit",
        "digits/kd",
        taught,
        "--run_dir=pupil",
        "--trainer.max_epochs=1",
        "--trainer.check_val_every_n_epoch=1",
    )
    student = json.loads((tmp_path / "whole/result.json").read_text())["student"]
    teacher = json.loads((tmp_path / "pupil/result.json").read_text())["teacher"]
    assert teacher["top1"]["val"]["last"] == pytest.approx(student["top1"]["val"]["last"])
    spec = {"baseline": "digits/student", "methods": ["found/best.yaml"], "seeds": [1, 2]}
    spec |= {"overrides": {"trainer.max_epochs": 1, "trainer.check_val_every_n_epoch": 1}}
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump(spec))
    distill("bench", "bench.yaml", "--out=bench")
    assert {row["method"] for row in table(tmp_path / "bench/results.csv")} == {"student", "best"}
    for folder in ("whole", "bench", "found"):
        distill("report", folder)
        assert (tmp_path / folder / "report.html").stat().st_size > 1000
