from pathlib import Path
from types import SimpleNamespace

import pytest
from pytorch_lightning.callbacks import TQDMProgressBar

from distill import runs
from distill.runs.progress_bar import EpochBar, bars, epoch_of, seconds_left
from tests.fixtures.runs import QUIET
from tests.fixtures.stopped import callback, recipe


@pytest.mark.parametrize(
    ("epochs", "steps", "left"),
    [(4, -1, 90.0), (4, 20, 30.0), (-1, 20, 30.0), (None, -1, None), (1, -1, 0.0), (4, 5, 0.0)],
)
def test_the_time_left_is_that_of_the_rest_at_the_same_speed(
    epochs: int | None, steps: int, left: float | None
) -> None:
    """After one epoch of 10 steps and 30 seconds."""
    trainer = SimpleNamespace(max_epochs=epochs, max_steps=steps, current_epoch=0, global_step=10)
    assert seconds_left(trainer, 30.0) == left


def test_epochs_are_counted_from_one() -> None:
    assert epoch_of(SimpleNamespace(current_epoch=1, max_epochs=3)) == "epoch 2/3"
    assert epoch_of(SimpleNamespace(current_epoch=1, max_epochs=-1)) == "epoch 2"
    bar = EpochBar()
    bar._trainer = SimpleNamespace(max_epochs=3)
    assert bar._get_train_description(2).strip() == "epoch 3/3"


def test_bars_are_found_among_callbacks() -> None:
    bar = TQDMProgressBar()
    assert bars([*bars([]), bar]) == [bar]


@pytest.mark.parametrize("name", ["TQDMProgressBar", "RichProgressBar"])
def test_a_bar_of_ones_own_takes_the_place_of_ours(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = recipe(None, "epoch", {"callbacks": [callback(name)], "max_epochs": 1})
    runs.fit(tree, tmp_path / "run", trusted=("tests",), console=QUIET)
    told = "".join(capsys.readouterr())
    assert "Epoch 0" in told
    assert "epoch 1" not in told
