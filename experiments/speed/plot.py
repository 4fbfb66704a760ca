"""Draws ``steps.png`` from ``steps.json``.

python -m experiments.speed.plot
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent


def main() -> None:
    facts = json.loads((HERE / "steps.json").read_text())
    steps = dict(sorted(facts["ms per step, median"].items(), key=lambda item: -item[1]))
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:blue" if name.startswith("distill") else "tab:gray" for name in steps]
    bars = axes.barh(list(steps), list(steps.values()), color=colours)
    axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.set_xlabel(f"ms per step, median of {facts['rounds']} rounds")
    precision, threads = facts["precision of ours and by hand"], facts["threads"]
    axes.set_title(f"resnet32x4 -> resnet8x4, batch 64, {precision}, {threads} threads")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "steps.png", dpi=110)


if __name__ == "__main__":
    main()
