"""Do proxies without training rank the designs of the table?

python experiments/digits_cells/proxies.py runs/digits/teacher

Kendall's tau-b between a proxy and the mean accuracy over three seeds, of the 85 designs that
differ and among their best third. Prints the table of the README.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau

from distill.search import ZeroCost
from distill.search.zero_cost import PROXIES
from experiments.digits_cells.table import SEEDS, SPACE, Row, read, recipe


def distinct(rows: Sequence[Row]) -> tuple[list[tuple[int, ...]], dict[str, np.ndarray]]:
    """One design of those whose networks are equal, and of each what the table says.

    Args:
        rows: Of the table.

    Returns:
        The designs, and by name their mean ``val_top1``, ``parameters`` and ``flops``.
    """
    designs = list(SPACE.designs())
    first = {SPACE.key(design): place for place, design in reversed(list(enumerate(designs)))}
    places = sorted(first.values())
    names = ("val_top1", "parameters", "flops")
    means = {
        name: np.reshape([row[name] for row in rows], (len(SEEDS), -1)).mean(0)[places]
        for name in names
    }
    return [designs[place] for place in places], means


def table(scores: Mapping[str, Sequence[float]], values: np.ndarray) -> str:
    """Kendall's tau-b of each proxy, overall and among the best third."""
    best = np.argsort(-values)[: len(values) // 3]
    lines = ["| proxy | tau, all | tau, best third |", "| --- | --- | --- |"]
    for name, found in scores.items():
        pairs = ((found, values), (np.asarray(found)[best], values[best]))
        taus = [f"{kendalltau(*pair).statistic:.2f}" for pair in pairs]
        lines.append(f"| {' | '.join([name, *taus])} |")
    return "\n".join(lines)


def main() -> None:
    torch.set_num_threads(1)
    designs, known = distinct(read())
    scores: dict[str, Sequence[float]] = {"parameters": known["parameters"].tolist()}
    with tempfile.TemporaryDirectory() as folder:
        for proxy in reversed(PROXIES):
            recipes = [recipe(design, Path(sys.argv[1])) for design in designs]
            measure = ZeroCost(proxy).score
            scores[proxy] = [measure(each, Path(folder), ("experiments",)) for each in recipes]
    print(table(scores, known["val_top1"]))


if __name__ == "__main__":
    main()
