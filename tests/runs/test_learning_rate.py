import csv
from pathlib import Path

import pytest
import torch

from distill import runs
from distill.runs.learning_rate import rates
from tests.fixtures.runs import QUIET
from tests.fixtures.stopped import recipe, scheduler


def learning_rates(run_dir: Path) -> list[float]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    return [float(row["train/lr"]) for row in rows]


@pytest.mark.parametrize(("interval", "expected"), [("epoch", 5), ("step", 1)])
def test_the_rate_of_each_step_stands_beside_its_loss(
    interval: str, expected: int, tmp_path: Path
) -> None:
    """Halved after each epoch of 5 steps, or after each step."""
    tree = recipe(scheduler("ExponentialLR", gamma=0.5), interval, {"max_epochs": 2})
    runs.fit(tree, tmp_path / "run", trusted=("tests",), console=QUIET)
    halved = [0.1 * 0.5 ** (step // expected) for step in range(10)]
    assert learning_rates(tmp_path / "run") == pytest.approx(halved, rel=1e-6)  # float32


def test_groups_and_optimizers_of_another_rate_have_columns_of_their_own() -> None:
    one, two, three = (torch.nn.Parameter(torch.zeros(1)) for _ in range(3))
    first = torch.optim.SGD([{"params": [one]}, {"params": [two], "weight_decay": 0.1}], lr=0.1)
    second = torch.optim.Adam([three], lr=torch.tensor(0.5))
    assert rates([first]) == {"train/lr": 0.1}
    assert rates([first, second]) == {"train/lr": 0.1, "train/lr/2": 0.5}
    assert rates([]) == {}
