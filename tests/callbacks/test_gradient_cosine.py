import copy
import csv
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from torch import Tensor, nn

from distill import runs
from distill.callbacks import GradientCosine
from distill.core.errors import RecipeError
from distill.modules import Distillation, MutualLearning, Term
from tests.fixtures.modules import digits, trainer
from tests.fixtures.networks import tiny
from tests.fixtures.recipes import RECIPE


class Opposite(nn.Module):
    """The negative of a cross-entropy: its gradient is exactly the other's, turned around."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return -5 * nn.functional.cross_entropy(input, target)


def recipe(task: str, **losses: Any) -> dict[str, Any]:
    tree = copy.deepcopy(RECIPE)
    tree["model"]["init_args"]["losses"] |= losses
    tree["trainer"]["callbacks"] = [
        {"class_path": "distill.callbacks.GradientCosine", "init_args": {"task": task}}
    ]
    return tree


def fit(tree: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    return runs.fit(tree, run_dir, trusted=("tests",), console=Console(quiet=True))


def test_opposite_terms_have_minus_one_on_every_logged_step(tmp_path: Path) -> None:
    inputs = {"input": "student.logits", "target": "batch.target"}
    opposite = {"loss": "tests.callbacks.test_gradient_cosine.Opposite", "inputs": inputs}
    tree = recipe("ce", opposite=opposite)
    tree["trainer"]["log_every_n_steps"] = 2
    result = fit(tree, tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        column = [row["train/gradient_cosine/opposite"] for row in csv.DictReader(file)]
    logged = [float(value) for value in column if value]
    assert len(logged) == 7  # of 15 steps
    assert logged == pytest.approx([-1] * 7, abs=1e-5)
    found = result["diagnostics"]["gradient_cosine"]
    assert set(found) == {"opposite", "kd", "overhaul"}
    assert found["opposite"] == pytest.approx(-1, abs=1e-5)


def test_an_unknown_loss_is_named_before_training(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"GradientCosine\.task: no loss 'kdd', .*'kd'"):
        fit(recipe("kdd"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def term(loss: nn.Module, network: str) -> Term:
    return Term(loss, inputs={"input": f"{network}.logits", "target": "batch.target"})


QUIET = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")


@QUIET
@pytest.mark.parametrize(
    ("updates", "compared"),
    [
        ("alternating", {"student/opposite": -1}),
        # The other peer's losses do not reach the student's weights.
        ("simultaneous", {"student/opposite": -1, "b/ce": 0, "b/opposite": 0}),
    ],
)
def test_peers_that_take_turns_are_compared_in_the_turn_of_the_task(
    updates: Any, compared: dict[str, float]
) -> None:
    losses = {"ce": term(nn.CrossEntropyLoss(), "peer"), "opposite": term(Opposite(), "peer")}
    module = MutualLearning(tiny(8), {"b": tiny(8)}, {"each": losses}, updates)
    cosine = GradientCosine("student/ce")
    trainer(log_every_n_steps=2, limit_val_batches=0, callbacks=[cosine]).fit(module, digits())
    assert cosine.values == pytest.approx(compared, abs=1e-5)


@QUIET
def test_without_logged_steps_nothing_is_measured() -> None:
    losses = {
        "ce": term(nn.CrossEntropyLoss(), "student"),
        "opposite": term(Opposite(), "student"),
    }
    module = Distillation(None, tiny(8), losses, gradient_norms="student.logits")
    cosine = GradientCosine("ce")
    running = trainer(log_every_n_steps=0, limit_val_batches=0, callbacks=[cosine])
    running.fit(module, digits())
    assert cosine.values == {}
    assert not [name for name in running.callback_metrics if name.startswith("train/gradient")]
