import json
from pathlib import Path

import pytest
from rich.console import Console

from distill.bench import bench
from distill.bench.spec import read_bench
from distill.errors import RecipeError
from distill.recipes import read
from students import resnet14

FAST = {"trainer.max_epochs": 1, "trainer.check_val_every_n_epoch": 1}
SPEC = {
    "teacher": "digits/teacher",
    "baseline": "digits/student",
    "methods": ["digits/kd"],
    "seeds": [0, 1],
    "overrides": FAST,
    "teacher_overrides": {"trainer.max_epochs": 1, "data.train_samples": 128},
}
QUIET = Console(quiet=True)


def write(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps(SPEC | changes))
    return path


def test_a_bench_trains_once_and_then_reads(tmp_path: Path) -> None:
    path, out = write(tmp_path / "bench.yaml"), tmp_path / "out"
    rows = bench(path, out, QUIET)
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("student", 0),
        ("student", 1),
        ("kd", 0),
        ("kd", 1),
    ]
    for name in ("results.csv", "table.md", "plot.png", "teacher/result.json"):
        assert (out / name).is_file()
    teacher = json.loads((out / "teacher" / "result.json").read_text())["student"]["top1"]["test"]
    assert rows[2]["teacher_test"] == teacher["last"]
    runs = sorted(out.rglob("student.safetensors"))
    before = {run: run.stat().st_mtime_ns for run in runs}
    assert len(runs) == 5
    assert bench(path, out, QUIET) == rows
    assert {run: run.stat().st_mtime_ns for run in runs} == before
    (out / "kd" / "seed1" / "result.json").unlink()
    assert [row["test_last"] for row in bench(path, out, QUIET)] == [r["test_last"] for r in rows]
    changed = write(path, overrides=FAST | {"model.losses.ce.weight": 0.5})
    bench(changed, out, QUIET)
    after = {run: run.stat().st_mtime_ns for run in runs}
    assert [run.parent.parent.name for run in runs if after[run] == before[run]] == ["out"]


def test_a_variant_is_a_recipe_with_changes_of_its_own(tmp_path: Path) -> None:
    student = {
        "class_path": "students.resnet14",
        "init_args": {"num_classes": 10, "in_channels": 1},
    }
    overrides = {"model.student": student, "data.augment": [], "model.losses.ce.weight": 0.5}
    variants = {
        "deeper": {"recipe": "digits/student", "overrides": overrides},
        "deeper_long": {
            "recipe": "digits/student",
            "overrides": overrides | {"trainer.max_epochs": 2},
            "against": "deeper",
        },
    }
    path = write(tmp_path / "bench.yaml", teacher=None, methods=[], variants=variants)
    rows = bench(path, tmp_path / "out", QUIET)
    deeper = sum(p.numel() for p in resnet14(num_classes=10, in_channels=1).parameters())
    compared = {row["method"]: row["against"] for row in rows}
    assert compared == {"student": "", "deeper": "student", "deeper_long": "deeper"}
    for name, epochs in (("deeper", 1), ("deeper_long", 2)):
        result = json.loads((tmp_path / "out" / name / "seed1" / "result.json").read_text())
        assert (result["student"]["parameters"], result["epochs"]) == (deeper, epochs)
        config = read(tmp_path / "out" / name / "seed1" / "config.yaml")
        assert config["data"]["init_args"]["augment"] == []


def test_overrides_of_the_command_reach_every_run_and_the_teacher(tmp_path: Path) -> None:
    path, out = write(tmp_path / "bench.yaml", seeds=[0]), tmp_path / "out"
    bench(path, out, QUIET, ["data.batch_size=25"])
    for run in ("teacher", "student/seed0", "kd/seed0"):
        assert read(out / run / "config.yaml")["data"]["init_args"]["batch_size"] == 25


WRONG = {
    "unknown key": ({"seed": [0]}, "no argument 'seed', did you mean 'seeds'"),
    "seed as text": ({"seeds": ["0"]}, "seeds: needs a list, each a whole number"),
    "seed twice": ({"seeds": [1, 1]}, "no seed twice"),
    "no methods": ({"methods": []}, "at least one method"),
    "methods as text": ({"methods": "digits/kd"}, "methods"),
    "the same name": ({"methods": ["digits/kd", "cifar10/kd"]}, "have the same name"),
    "variant key": ({"variants": {"a": {"recipes": "x/y"}}}, "a.recipes.*did you mean 'recipe'"),
    "variant without recipe": ({"variants": {"a": {}}}, r"variants\.a\.recipe: Variant needs it"),
    "against nobody": (
        {"variants": {"a": {"recipe": "digits/kd", "against": "kdd"}}},
        r"variants\.a\.against: no method 'kdd', did you mean 'kd'",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_bench_names_the_key(case: tuple[dict[str, object], str], tmp_path: Path) -> None:
    changes, message = case
    with pytest.raises(RecipeError, match=message):
        read_bench(write(tmp_path / "bench.yaml", **changes))


def test_an_unknown_recipe_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "bench.yaml", teacher=None, baseline="digits/studnet")
    with pytest.raises(RecipeError, match="did you mean 'digits/student'"):
        bench(path, tmp_path / "out", QUIET)
