"""The difference of any two methods of a bench, paired by seed."""

import argparse
import csv
from pathlib import Path

from distill.results.statistics import paired_difference


def main() -> None:
    """Print it with its 95 % interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, metavar="results.csv")
    parser.add_argument("method")
    parser.add_argument("against")
    given = parser.parse_args()
    found: dict[str, dict[str, float]] = {given.method: {}, given.against: {}}
    with given.results.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["method"] in found:
                found[row["method"]][row["seed"]] = float(row["test_last"] or row["val_last"])
    ours, theirs = found[given.method], found[given.against]
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        parser.error(f"{given.results}: {given.method} and {given.against} have no seed in common")
    print(paired_difference([ours[s] for s in seeds], [theirs[s] for s in seeds]))


if __name__ == "__main__":
    main()
