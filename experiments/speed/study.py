"""What does a study of 12 methods and 5 seeds cost, with and without the teacher's cache?

    python -m experiments.speed.study --out experiments/speed

Every method of recipes/cifar10 that reads logits, an embedding or the last maps, with a random
resnet56 as the teacher and the recipe's student, on random images: what is measured is time. Each
run is done live and from one shared cache, one after the other, in an order that alternates. The
cost of the same study on ImageNet is computed from bytes and passes, not measured.
"""

import argparse
import csv
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import students
from distill import recipes
from distill.cache.listing import list_caches
from distill.cache.store import Entry, Store
from distill.cache.teacher_cache import FOLDER
from distill.runs import fit
from experiments.speed.steps import write_images

METHODS = (
    "kd", "ssld", "dkd", "dist", "logit_standard_kd", "multi_label_kd", "hard_kd",
    "rkd", "kd_rkd", "pkt", "cc", "sp",
)  # fmt: skip
SEEDS, CLASSES, BATCH = 5, 10, 64
_READ = ("teacher.logits", "teacher@fc:input", "teacher@layer3")
IMAGENET = {"images": 1_281_167, "classes": 1000, "epochs": 300}


def teacher() -> nn.Module:
    """The same random weights each time, so that its cached outputs stay valid."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return students.resnet56(CLASSES)


def seconds(images: Path, method: str, seed: int, epochs: int, cache: str | None) -> float:
    """How long a run takes, from its recipe to its result."""
    tree: dict[str, Any] = recipes.load(recipes.find(f"cifar10/{method}"))
    tree["seed_everything"] = seed
    arguments = tree["model"]["init_args"]
    arguments["teacher"] = {"class_path": "experiments.speed.study.teacher"}
    arguments |= {"cache": cache, "channels_last": True}
    data = {"train": str(images), "val": 0.1, "workers": 0, "seed": 0, "batch_size": BATCH}
    tree["data"]["init_args"] |= data
    tree["trainer"] |= {"max_epochs": epochs, "limit_val_batches": 1, "precision": "32-true"}
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        quiet = Console(quiet=True)
        fit(tree, Path(folder) / "run", trusted=("experiments",), console=quiet)
        return time.perf_counter() - begun


def bytes_per_entry(size: int) -> float:
    """What an entry of ``size`` bytes takes on disk, measured on 20,000 of them."""
    samples = range(20_000)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "cache.sqlite", {})
        entries = [Entry(2**62 - sample, (1000,), bytes(size)) for sample in samples]
        store.write("teacher.logits", 0, samples, entries)
        store.close()
        return store.path.stat().st_size / len(samples)


def imagenet() -> list[dict[str, object]]:
    """The study on ImageNet: what is stored and how often the teacher looks, computed."""
    n, classes, epochs = IMAGENET["images"], IMAGENET["classes"], IMAGENET["epochs"]
    runs = len(METHODS) * SEEDS
    kinds = {
        "float32, all logits": 4 * classes,
        "float16, all logits": 2 * classes,
        "float16, top 10": 2 * 11 + 4 * 10,
    }
    return [
        {
            "views per image": views,
            "stored": kind,
            "gigabytes": round(n * views * bytes_per_entry(size) / 1e9, 1),
            "teacher passes, live": f"{runs * epochs * n:.3g}",
            "teacher passes, cached": f"{views * n:.3g}",
        }
        for views in (epochs, 10)
        for kind, size in kinds.items()
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    out = options.out.resolve()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)  # where `auto` makes its caches, one for each mode of the teacher
        images = Path(temporary) / "images"
        write_images(images, 6 * BATCH, CLASSES)
        seconds(images, "kd", 0, 1, None)  # what is loaded once is loaded
        for seed in range(options.seeds):
            for place, method in enumerate(METHODS):
                row: dict[str, Any] = {"method": method, "seed": seed}
                for kept in (None, "auto") if (seed + place) % 2 else ("auto", None):
                    name = "cached_s" if kept else "live_s"
                    row[name] = round(seconds(images, method, seed, options.epochs, kept), 2)
                rows.append(row)
                print(row, flush=True)
        found = list_caches(FOLDER)
    with (out / "study.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("method", "seed", "live_s", "cached_s"))
        writer.writeheader()
        writer.writerows(rows)
    live, cached = (sum(row[name] for row in rows) for name in ("live_s", "cached_s"))
    counts = {name: sum(c.entries.get(name, 0) for c in found) for name in _READ}
    facts = {
        "runs": len(rows),
        "live, s": round(live, 1),
        "cached, s": round(cached, 1),
        "live / cached": round(live / cached, 2),
        "cache": {"bytes": sum(cache.size for cache in found), "entries": counts},
        "bytes beside an entry of 62": round(bytes_per_entry(62) - 62, 1),
        "ImageNet, computed": imagenet(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    (out / "study.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
