"""What is turned into a line that names its part, and what is not."""

import errno
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from distill.cli import main
from distill.core.errors import NonFiniteError, RecipeError, UnreadableImage
from distill.recipes.check import Node
from distill.runs.first_step import as_configuration
from tests.fixtures.small_recipe import RECIPE


class Stumbles(pl.Callback):
    """A callback of somebody's own, which no rehearsal runs.

    Args:
        step: The batch that it ends.
    """

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        if batch_idx == self._step:
            raise KeyError("gone\nastray")


class Part:
    def fall(self) -> None:
        raise ValueError("down")


NODES = [Node("model", Part, {}), Node("model.losses.a.loss", torch.nn.ReLU, {})]


def test_an_exception_becomes_a_line_with_the_key_of_what_raised_it() -> None:
    with pytest.raises(RecipeError) as told, as_configuration(NODES):
        Part().fall()
    assert str(told.value) == "model: ValueError: down (DISTILL_TRACEBACK=1 shows where)"
    assert isinstance(told.value.__cause__, ValueError)


def test_an_exception_of_several_alike_is_told_of_what_holds_them() -> None:
    alike = [Node(f"model.losses.{name}.loss", Part, {}) for name in "ab"]
    with pytest.raises(RecipeError, match=r"^model\.losses: ValueError"), as_configuration(alike):
        Part().fall()


def test_an_exception_of_nobody_s_is_the_trainer_s() -> None:
    told = r"^trainer: RuntimeError: RuntimeError \("
    with pytest.raises(RecipeError, match=told), as_configuration(NODES):
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        RecipeError("data", "told"),
        NonFiniteError("told"),
        UnreadableImage("told"),
        OSError(errno.ENOSPC, "full"),
        BrokenPipeError(errno.EPIPE, "left"),
        KeyboardInterrupt(),
    ],
)
def test_what_has_a_line_of_its_own_keeps_it(error: BaseException) -> None:
    with pytest.raises(type(error)) as told, as_configuration(NODES):
        raise error
    assert told.value is error


def test_after_the_first_step_nothing_is_turned() -> None:
    with pytest.raises(KeyError), as_configuration(NODES, lambda: True):
        raise KeyError("x")


def test_a_fall_in_the_first_step_is_a_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = fit_with_stumble(tmp_path, 0)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert main(arguments) == 2
    told = "distill: trainer.callbacks.0: KeyError: 'gone\\nastray' (DISTILL_TRACEBACK=1 shows"
    assert capsys.readouterr().err.startswith(told)
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name != ".lock"] == [
        "notes.txt"
    ]


def test_a_fall_after_it_is_no_fault_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        main(fit_with_stumble(tmp_path, 1))
    assert (tmp_path / "run" / "config.yaml").exists()


def fit_with_stumble(folder: Path, step: int) -> list[str]:
    (folder / "recipe.yaml").write_text(RECIPE)
    callback = f"[{{class_path: {__name__}.Stumbles, init_args: {{step: {step}}}}}]"
    given = ["--run_dir", str(folder / "run"), "--trust", "tests"]
    return ["fit", str(folder / "recipe.yaml"), *given, f"--trainer.callbacks={callback}"]
