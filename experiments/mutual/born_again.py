"""Born-again chains of the digits: three generations after the first, five seeds.

Run with ``python experiments/mutual/born_again.py``; finished runs are kept. Writes
``born_again.csv`` beside itself.
"""

import csv
from pathlib import Path

from distill import recipes
from distill.tools.chain import chain

HERE = Path(__file__).parent
SEEDS, GENERATIONS = range(5), 3


def main() -> None:
    rows = []
    for seed in SEEDS:
        tree = recipes.load(recipes.find("digits/born_again"), [f"seed_everything={seed}"])
        run_dir = Path("runs") / "born_again" / f"seed{seed}"
        for number, result in enumerate(chain(tree, run_dir, GENERATIONS)):
            top1 = result["student"]["top1"]
            rows.append([seed, number, top1["val"]["last"], top1["test"]["last"]])
    with (HERE / "born_again.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "generation", "val", "test"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
