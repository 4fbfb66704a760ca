"""What cutting half the operations gains in time: dense and cut, in turns in one process."""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from onnxruntime import InferenceSession, SessionOptions

import students
from distill.compress import pruned
from distill.metrics.cost import flops
from experiments.compression.files import SHAPE, write

IMAGE = torch.zeros(1, *SHAPE)
NAMES, BLOCKS, ROUNDS = ("resnet20", "resnet8x4", "wrn_16_2"), (1, 8, 16), 60


def session(network: torch.nn.Module, path: Path) -> InferenceSession:
    """The network as an ONNX file, opened on one thread."""
    images = torch.rand(2, *SHAPE)
    shapes = ({0: torch.export.Dim("b")},)
    program = torch.onnx.export(
        network.eval(), (images,), input_names=["image"], dynamic_shapes=shapes, verbose=False
    )
    if program is None:
        raise RuntimeError("torch gave no program")
    program.save(path, external_data=False)
    options = SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(path, options, providers=["CPUExecutionProvider"])


def faster(dense: InferenceSession, cut: InferenceSession, batch: int) -> float:
    """The dense network's median time over the cut one's."""
    image = {dense.get_inputs()[0].name: torch.rand(batch, *SHAPE).numpy()}
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS if batch == 1 else ROUNDS // 5):
        for taken, run in zip(seconds, (dense, cut), strict=True):
            started = time.perf_counter()
            run.run(None, image)
            taken.append(time.perf_counter() - started)
    return median(seconds[0][1:]) / median(seconds[1][1:])


def measured(name: str, folder: Path) -> list[dict[str, Any]]:
    """One row for each size of blocks."""
    make = getattr(students, name)
    torch.manual_seed(0)
    dense = session(make(num_classes=10), folder / "dense.onnx")
    whole = flops(make(num_classes=10), IMAGE)
    rows = []
    for block in BLOCKS:
        torch.manual_seed(0)
        network = pruned(make(num_classes=10), SHAPE, flops=0.5, block=block)
        row = {"student": name, "block": block}
        row["share of operations"] = round(flops(network, IMAGE) / whole, 3)
        cut = session(network, folder / f"{block}.onnx")
        row |= {f"times faster, batch {n}": round(faster(dense, cut, n), 2) for n in (1, 32)}
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    """Measure all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("experiments/compression/cuts.csv"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for name in NAMES for row in measured(name, Path(folder))]
    write(rows, given.out)


if __name__ == "__main__":
    main()
