"""Directories as runs, benches and sweeps leave them, without training anything."""

import csv
import json
from pathlib import Path
from typing import Any

import torch

from distill.bench.report import COLUMNS
from distill.results.predictions import PredictionRecorder

CLASSES = ["cat", "dog", "a <b>bold</b> fox"]
# By method, accuracies of three seeds on the validation and on the test images.
ACCURACIES = {
    "student": ([80.0, 81.0, 82.0], [78.0, 80.0, 79.0]),
    "kd": ([84.0, 85.5, 86.0], [83.0, 84.0, 84.5]),
    "rkd": ([83.0, 81.0, 82.0], [79.0, 80.0, 78.5]),
}


def write_run(
    folder: Path, method: str = "kd", seed: int = 0, val: float = 84.0, test: float | None = 83.0
) -> Path:
    folder.mkdir(parents=True)
    taught = method != "student"
    terms = ["ce", method] if taught else ["ce"]
    (folder / "result.json").write_text(json.dumps(result(method, seed, val, test)))
    (folder / "config.yaml").write_text(f"seed_everything: {seed}\nmodel: {{losses: {terms}}}\n")
    with (folder / "metrics.csv").open("w", newline="") as file:
        columns = ["epoch", "step", "val/top1", *(f"train/loss/{term}" for term in terms)]
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for epoch in range(4):
            losses = {f"train/loss/{term}": 2.0 / (epoch + 1) + seed for term in terms}
            writer.writerow({"epoch": epoch, "step": 2 * epoch, **losses})
            accuracy = {"val/top1": val - 8 * (3 - epoch)}
            writer.writerow({"epoch": epoch, "step": 2 * epoch + 1, **accuracy})
    recorder = PredictionRecorder()
    target = torch.arange(30) % 3
    student = torch.eye(3)[torch.where(torch.arange(30) < 4 + seed, (target + 1) % 3, target)] * 5
    teacher = torch.eye(3)[target] if taught else None
    images = torch.arange(30, dtype=torch.uint8).view(30, 1, 1, 1).expand(30, 1, 8, 8)
    recorder.update(images, torch.arange(30), target, student, teacher)
    recorder.compute().save(folder)
    return folder


def result(method: str, seed: int, val: float, test: float | None) -> dict[str, Any]:
    def top1(shift: float) -> dict[str, Any]:
        splits = {"val": val, "test": test}
        return {s: {"last": v + shift, "best": v + shift} for s, v in splits.items() if v}

    teacher = {
        "class": "Big",
        "parameters": 1_000_000,
        "flops": 40_000_000,
        "cpu_latency_ms": 8.0,
        "top1": top1(90 - val)
        if not test
        else top1(90 - val) | {"test": {"last": 89.0, "best": 89}},
    }
    student = {
        "class": "Small",
        "parameters": 50_000,
        "flops": 2_000_000,
        "cpu_latency_ms": 0.5 + seed / 10,
        "top1": top1(0),
    }
    diagnostics = {"student_calibration_error": 0.05}
    if method != "student":
        diagnostics |= {"agreement": 0.9, "kl_to_teacher_nats": 0.25}
        diagnostics |= {"teacher_calibration_error": 0.02}
    return {
        "recipe": f"toys/{method}",
        "seed": seed,
        "dataset": {"class": "Toys", "classes": CLASSES, "images": {"train": 100, "val": 30}},
        "epochs": 4,
        "steps": 8,
        "wall_s": 20.0 if method == "student" else 30.0,
        "train_images_per_s": 500.0,
        "device": "cpu",
        "cpu_threads": 1,
        "precision": "32-true",
        "versions": {"distill": "0.1.0", "torch": "2"},
        "teacher": teacher if method != "student" else None,
        "student": student,
        "diagnostics": diagnostics,
    }


def write_bench(folder: Path, seeds: int = 3, with_runs: bool = True, test: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for method, (val, tested) in ACCURACIES.items():
        for seed in range(seeds):
            accuracy = tested[seed] if test else None
            if with_runs:
                run_dir = folder / method / f"seed{seed}"
                write_run(run_dir, method, seed, val[seed], accuracy)
            rows.append(
                {
                    "method": method,
                    "seed": seed,
                    "val_last": val[seed],
                    "val_best": val[seed] + 0.5,
                    "test_last": accuracy,
                    "test_best": accuracy,
                    "teacher_val": 90.0 if method != "student" else None,
                    "teacher_test": 89.0 if method != "student" and test else None,
                    "wall_s": 20.0 if method == "student" else 30.0,
                    "against": "" if method == "student" else "student",
                    "run_dir": f"/elsewhere/{folder.name}/{method}/seed{seed}",
                }
            )
    write_table(folder / "results.csv", list(COLUMNS), rows)
    return folder


def write_sweep(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rows = [
        {"trial": 0, "value": 70.0, "best": 72.0, "lr": 0.001, "loss": "kd", "wall_s": 60.0},
        {"trial": 1, "value": 84.0, "best": 84.0, "lr": 0.1, "loss": "rkd", "wall_s": 120.0},
        {"trial": 2, "value": None, "best": None, "lr": 10.0, "loss": "kd", "wall_s": None},
    ]
    states = ("stopped", "finished", "diverged")
    for row, state in zip(rows, states, strict=True):
        row |= {"state": state, "epochs": 4, "run_dir": f"runs/sweep/trial{row['trial']:03d}"}
        row |= {"model.optimizer.init_args.weight_decay": 0.01}
    write_run(folder / "trial001")
    write_table(folder / "results.csv", list(rows[0]), rows)
    write_metric(folder)
    return folder


def write_metric(folder: Path, name: str = "val/top1", goal: str = "maximize") -> None:
    (folder / "sweep.json").write_text(json.dumps({"metric": name, "goal": goal}))


def write_table(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
