"""Draws ``plot.png``: accuracy against bytes, and against milliseconds.

python -m experiments.compression.plot
"""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure

HERE = Path(__file__).parent
SHOWN = {
    "float": ("pipeline", "float_alone"),
    "8 bit": ("bits_8", "bits_8_alone"),
    "4 bit": ("bits_4", "bits_4_alone"),
    "2 bit": ("bits_2", "bits_2_alone"),
    "half the operations": ("pruned_half", "pruned_half_alone"),
    "90 % zeros": ("sparse_90", "sparse_90_alone"),
    "90 % zeros, 8 bit": ("sparse_90_8", None),
}
"""By name: the method with the teacher, and alone."""


def read(name: str) -> list[dict[str, str]]:
    """The rows of a table."""
    with (HERE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Draw both pictures side by side."""
    accuracy, size = defaultdict(list), defaultdict(list)
    for row in read("results.csv"):
        accuracy[row["method"]].append(float(row["test_last"]))
        size[row["method"]].append(float(row["stored_bytes"]) / 1000)
    ms = {row["method"]: float(row["ms, batch 32"]) for row in read("times.csv")}
    kilobytes = {method: mean(values) for method, values in size.items()}
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for axes, across, label in zip(
        figure.subplots(1, 2, sharey=True),
        (kilobytes, ms),
        ("stored, kB (logarithmic)", "ms for 32 images, one thread"),
        strict=True,
    ):
        for number, (name, methods) in enumerate(SHOWN.items()):
            for method, filled in zip(methods, (True, False), strict=True):
                if method is None:
                    continue
                axes.errorbar(
                    across[method],
                    mean(accuracy[method]),
                    yerr=stdev(accuracy[method]),
                    fmt="o" if filled else "s",
                    color=f"C{number}",
                    markerfacecolor=f"C{number}" if filled else "white",
                    capsize=2,
                    label=name if filled else None,
                )
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    left, right = figure.axes
    left.set_xscale("log")
    left.set_xticks([20, 40, 80, 160, 320], ["20", "40", "80", "160", "320"])
    left.minorticks_off()
    left.set_ylabel("test accuracy, %")
    right.set_xlim(left=0)
    right.legend(fontsize=8, loc="center left")
    figure.suptitle("resnet8 on digits, 5 seeds ± sd: with the teacher (full), alone (hollow)")
    figure.savefig(HERE / "plot.png", dpi=110)


if __name__ == "__main__":
    main()
