"""A label-free student against ones that learn from labels: k-NN, linear probe, accuracy.

    python -m experiments.embedding.embedding --train IMAGES --runs runs/embedding
    python -m experiments.embedding.embedding --runs runs/embedding --table

The first command trains what is not finished yet and goes on where it was stopped; then it measures
and writes ``results.csv`` and ``table.md`` beside this file. The second only prints the table.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

import torch
from torch import nn

import students
import teachers
from distill.data import Images, Unlabelled
from distill.metrics import EmbeddingAccuracy
from distill.modules import Normalization

HERE = Path(__file__).parent
SEEDS, EPOCHS, TEACHER_EPOCHS = (0, 1, 2), 4, 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
COLUMNS = ("arm", "seed", "labels", "knn", "linear", "top1", "wall_s")
SCRATCH = "{class_path: students.resnet8, init_args: {num_classes: 10, in_channels: 3}}"
LABELS = {
    "teacher": 45_000,
    "untrained": 0,
    "embed": 0,
    "embed_fine_tune": 450,
    "labels_1": 450,
    "labels_100": 45_000,
}
ARITHMETIC = ("--trainer.precision=bf16-mixed", "--model.channels_last=true")
Row = dict[str, str | float | int]


def main() -> None:
    """Train, measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", help="CIFAR10, or a folder or tar of its class folders")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="print the table of results.csv")
    options = parser.parse_args()
    if not options.table:
        if options.train is None:
            parser.error("--train is needed to train and to measure")
        for folder, command in commands(options.train, options.runs):
            _fit(folder, command)
        _write(list(measured(options.train, options.runs)))
    sys.stdout.write(table(_read()))


def commands(train: str, runs: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every run's directory and arguments, in the order in which they need each other."""
    plain, inner = f"--data.train={train}", f"--data.images.train={train}"
    teacher = runs / "vit32"
    epochs = [f"--trainer.max_epochs={TEACHER_EPOCHS}"]
    yield teacher, ["cifar10/teacher_vit32", plain, "--seed", "0", *epochs]
    short = [f"--trainer.max_epochs={EPOCHS}"]
    for seed in SEEDS:
        own = ["--seed", str(seed)]
        embed = runs / f"embed_{seed}"
        taught = f"--model.teacher.network.run_dir={teacher}"
        yield embed, ["cifar10/embed", inner, taught, *short, *own]
        weights = f"--model.student.path={embed / 'student.safetensors'}"
        yield runs / f"embed_fine_tune_{seed}", ["cifar10/embed_fine_tune", inner, weights, *own]
        scratch = ["--model.optimizer.lr=0.1", f"--model.student={SCRATCH}"]
        yield runs / f"labels_1_{seed}", ["cifar10/embed_fine_tune", inner, *scratch, *own]
        yield runs / f"labels_100_{seed}", ["cifar10/student", plain, *short, *own]


def _fit(folder: Path, arguments: Sequence[str]) -> None:
    if (folder / "result.json").is_file():
        return
    begun = (folder / "config.yaml").is_file()
    anew = ["fit", *arguments, *ARITHMETIC, "--run_dir", str(folder)]
    whole = ["resume", str(folder)] if begun else anew
    command = [sys.executable, "-m", "distill", *whole]
    subprocess.run(command, check=True)  # noqa: S603 - our own command


def measured(train: str, runs: Path) -> Iterator[Row]:
    """What each network knows, by the same bank and the same 5,000 validation images."""
    data = Unlabelled(Images(train, val=0.1, mean=MEAN, std=STD, root="data"), per_class=45)
    data.setup("fit")
    teacher = teachers.from_run(str(runs / "vit32"))
    yield _row(runs, "teacher", 0, students.headless(teacher, "head"), data, "vit32")
    for seed in SEEDS:
        torch.manual_seed(seed)
        untrained = students.headless(students.resnet8(num_classes=10))
        yield _row(runs, "untrained", seed, untrained, data, None)
        for arm in ("embed", "embed_fine_tune", "labels_1", "labels_100"):
            network = teachers.from_run(str(runs / f"{arm}_{seed}"))
            if arm != "embed":
                network = students.headless(network)
            yield _row(runs, arm, seed, network, data, f"{arm}_{seed}")


@torch.no_grad()
def _row(
    runs: Path, arm: str, seed: int, network: nn.Module, data: Unlabelled, run: str | None
) -> Row:
    """One network's figures; the accuracy is that of its own classifier, where it has one."""
    normalization, metric = Normalization(MEAN, STD), EmbeddingAccuracy()
    network.eval()
    for batch in data.val_dataloader():
        metric.update(network(normalization(batch.image)), data.task.target(batch))
    found = {name: round(100 * share.item(), 2) for name, share in metric.compute().items()}
    result = json.loads((runs / run / "result.json").read_text()) if run else {}
    top1 = result.get("student", {}).get("top1", {}).get("val", {}).get("last", "")
    row: Row = {"arm": arm, "seed": seed, "labels": LABELS[arm], **found}
    return row | {"top1": top1 and round(top1, 2), "wall_s": result.get("wall_s", "")}


def _write(rows: Sequence[Row]) -> None:
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    (HERE / "table.md").write_text(table(_read()))


def _read() -> list[dict[str, str]]:
    return list(csv.DictReader((HERE / "results.csv").read_text().splitlines()))


def table(rows: Sequence[dict[str, str]]) -> str:
    """Mean and standard deviation over seeds, in percent."""
    lines = ["| arm | labels | k-NN | linear probe | own classifier |", "|---|--:|--:|--:|--:|"]
    for arm, labels in LABELS.items():
        own = [row for row in rows if row["arm"] == arm]
        cells = [_spread([row[name] for row in own]) for name in ("knn", "linear", "top1")]
        lines.append(f"| {arm} | {labels:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[str]) -> str:
    numbers = [float(value) for value in values if value]
    if len(numbers) < 2:
        return f"{numbers[0]:.2f}" if numbers else "-"
    return f"{mean(numbers):.2f} ± {stdev(numbers):.2f}"


if __name__ == "__main__":
    main()
