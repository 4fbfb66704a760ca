"""Milliseconds of what a bench left: each method's exported file, in turns, in one process.

python -m experiments.compression.times runs/compression
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from rich.console import Console

from distill.tools.export import export

ROUNDS, BATCHES = 101, (1, 32)


def session(path: Path) -> InferenceSession:
    """One thread of onnxruntime."""
    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Export the first seed of each method and measure all in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path, help="its --out")
    parser.add_argument("--out", type=Path, default=Path("experiments/compression/times.csv"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = {}
        for run_dir in sorted(given.bench.glob("*/seed0")):
            files[run_dir.parent.name] = Path(name) / f"{run_dir.parent.name}.onnx"
            export(run_dir, files[run_dir.parent.name], console=Console(quiet=True))
        sessions = {method: session(path) for method, path in files.items()}
        bytes_of = {method: path.stat().st_size for method, path in files.items()}
    rows = []
    taken: dict[tuple[str, int], list[float]] = {(m, n): [] for m in sessions for n in BATCHES}
    for _ in range(ROUNDS):
        for (method, n), times in taken.items():
            image = np.full((n, 1, 8, 8), 0.5, dtype=np.float32)
            started = time.perf_counter()
            sessions[method].run(None, {"image": image})
            times.append(1e3 * (time.perf_counter() - started))
    for method in sessions:
        ms = {f"ms, batch {n}": round(median(taken[method, n][1:]), 4) for n in BATCHES}
        rows.append({"method": method, "onnx bytes": bytes_of[method], **ms})
    with given.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
