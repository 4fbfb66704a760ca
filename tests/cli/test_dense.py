"""Every command of a study runs on the recipes of scenes."""

import json
from pathlib import Path

import pytest

from distill.cli import main

pytest.importorskip("faster_coco_eval", reason="needs the extra dense")

SMALL = {
    "trainer.max_epochs": 1,
    "trainer.check_val_every_n_epoch": 1,
    "data.train": 80,
    "data.val": 8,
    "data.test": 8,
}
GIVEN = [f"--{key}={value}" for key, value in SMALL.items()]
KINDS = {"segment": ("miou", "ce"), "detect": ("map", "focal")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_runs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    metric, term = KINDS[kind]
    teacher = ["--run_dir", f"runs/scenes/{kind}_teacher", "--model.student.backbone=resnet8"]
    runs = [
        ["fit", f"scenes/{kind}_teacher", *teacher, *GIVEN],
        ["fit", f"scenes/{kind}_all", "--run_dir", "runs/one", *GIVEN],
        ["test", "runs/one"],
        ["augment", "show", f"scenes/{kind}_all", "--out", "views.png", "--rows", "2"],
        ["tune", f"scenes/{kind}_all", "--steps", "20", *GIVEN],
        ["chain", f"scenes/{kind}_all", "--generations", "1", "--run_dir", "runs/chain", *GIVEN],
        ["sweep", "sweep.yaml", "--out", "runs/sweep"],
        ["bench", "bench.yaml", "--out", "runs/bench"],
        *(["report", f"runs/{name}"] for name in ("one", "sweep", "bench")),
    ]
    parameter = {"distribution": "log_uniform_values", "min": 0.5, "max": 2.0}
    sweep = {"program": "distill", "method": "random", "run_cap": 2}
    sweep |= {"metric": {"name": f"val/{metric}", "goal": "maximize"}}
    sweep |= {"parameters": {f"model.losses.{term}.weight": parameter}}
    sweep |= {"command": ["${env}", "${program}", "fit", f"scenes/{kind}_student", *GIVEN]}
    sweep["command"] += ["${args}"]  # type: ignore[operator]
    bench = {"baseline": f"scenes/{kind}_student", "methods": [f"scenes/{kind}_all"]}
    bench |= {"teacher": f"scenes/{kind}_teacher", "seeds": [0, 1], "overrides": SMALL}  # type: ignore[dict-item]
    bench["teacher_overrides"] = SMALL | {"model.student.backbone": "resnet8"}  # type: ignore[assignment]
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
    (tmp_path / "bench.yaml").write_text(json.dumps(bench))
    for command in runs:
        assert main(command) == 0, command
    page = (tmp_path / "runs" / "one" / "report.md").read_text()
    assert f"the student's {metric} on the test images is" in page
    assert ("## Each class" in page) == (kind == "segment")
    assert "## Side by side" in page
    for name in ("sweep", "bench"):
        assert (tmp_path / "runs" / name / "report.html").is_file()
        assert (tmp_path / "runs" / name / "table.md").is_file()
