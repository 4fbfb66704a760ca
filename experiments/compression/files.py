"""Sizes and times of exported files: float32 and integers in turns, in one process.

Weights are not trained, since neither figure depends on them; steps are those of one batch.
"""

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import students
from distill.compress import pruned, quantized
from distill.tools.export_integers import write_integers

SHAPE = [3, 32, 32]
CASES = [
    ("resnet8x4", 8, None),
    ("resnet8x4", 4, None),
    ("resnet8x4", 2, None),
    ("resnet8x4", 8, 16),
    ("resnet20", 8, None),
    ("resnet20", 4, None),
    ("resnet20", 2, None),
    ("mobilenet_v2_half", 8, None),
]
"""Student, bits, and the block of channels where it is cut to half its operations."""


class Program(nn.Module):
    """A network whose input has a name of its own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b, k) of images (b, c, h, w)."""
        logits: Tensor = self.network(image)
        return logits


def measured(name: str, bits: int, block: int | None, folder: Path) -> dict[str, Any]:
    """One row of the table."""
    torch.manual_seed(0)
    network = getattr(students, name)(num_classes=10)
    if block:
        network = pruned(network, SHAPE, flops=0.5, block=block)
    network = quantized(network, SHAPE, bits, bits)
    network.train()(torch.randn(64, *SHAPE))
    program = Program(network).eval()
    images = torch.rand(3, *SHAPE)

    @torch.no_grad()
    def off(run: Any) -> float:  # noqa: ANN401 - what reads the file
        given, found = program(images), run(images)[0]
        return float((found - given).abs().max() / given.abs().max())

    with torch.no_grad():
        facts = write_integers(program, ("logits",), images[:2], folder / "a.onnx", "{}", off)
    size, time = facts["bytes"], facts["latency_ms"]
    return {
        "student": name,
        "bits": bits,
        "cut": f"half, blocks of {block}" if block else "",
        "bytes": size["integer"],
        "times smaller": round(size["float32"] / size["integer"], 2),
        "integer convolutions": "{integer} of {of}".format(**facts["convolutions"]),
        "off unfused": f"{facts['off']['unfused']:.1e}",
        **{
            f"times faster, batch {n}": round(time["float32"][n] / time["integer"][n], 2)
            for n in ("1", "32")
        },
        "instructions": facts["instructions"],
        "runtime": facts["runtime"],
    }


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows with the same keys as a table."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Measure all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("experiments/compression/files.csv"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(*case, Path(folder)))
        print(rows[-1], flush=True)
    write(rows, given.out)


if __name__ == "__main__":
    main()
