"""How long does a command take before it does anything?

    python -m experiments.speed.start --out experiments/speed

Whole processes in turns: Python with the libraries that training needs and nothing else, a fit of
one batch of the digits, and `distill --help`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

LIBRARIES = "import torch, torchvision, pytorch_lightning, torchmetrics"
FIT = ("fit", "digits/student", "--trainer.max_steps=1", "--data.test=0")


def seconds(*arguments: str) -> float:
    """Wall time of Python with some arguments."""
    started = time.perf_counter()
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
    return time.perf_counter() - started


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            libraries = seconds("-c", LIBRARIES)
            fit = seconds("-m", "distill", *FIT, f"--run_dir={folder}/run")
            told = seconds("-m", "distill", "--help")
        rounds.append({"libraries": libraries, "fit": fit, "over": fit - libraries, "help": told})
        print({name: round(value, 2) for name, value in rounds[-1].items()}, flush=True)
    facts = {
        "seconds, median": {
            name: round(statistics.median(turn[name] for turn in rounds), 2) for name in rounds[0]
        },
        "rounds": [{name: round(value, 3) for name, value in turn.items()} for turn in rounds],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            name: version(name) for name in ("torch", "pytorch-lightning", "jsonargparse")
        },
    }
    print(json.dumps(facts["seconds, median"]))
    (options.out / "start.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
