"""Builds every stage before the first is trained, so that no fault is found hours later."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.console import Console

from distill.callbacks.train_only import TrainOnly
from distill.core.errors import RecipeError
from distill.recipes import Tree, put
from distill.recipes.build import Built, build
from distill.recipes.stages import in_stage, trees
from distill.runs.precision import settle_precision
from distill.runs.single import calm, open_data, own_settings
from distill.runs.staged_weights import parts

_Shapes = dict[str, tuple[int, ...]]


def rehearse(tree: Tree, run_dir: Path, trusted: Sequence[str], console: Console) -> None:
    """Build every stage, with its data and a dry pass, and check that what it is left fits it.

    Args:
        tree: The recipe; a precision that this machine cannot compute in is changed in its stage.
        run_dir: Where the stages' runs will be.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Raises:
        RecipeError: For the first stage that would fail.
    """
    left: dict[str, tuple[str, _Shapes]] = {}
    for stage, own in trees(tree).items():
        with calm(), in_stage(tree, stage):
            built = build(_without_loggers(own), str(run_dir), trusted)
            wanted = built.trainer["precision"]
            settle_precision(built, console)
            if built.trainer["precision"] != wanted:
                put(tree, f"stages.{stage}.trainer.precision", built.trainer["precision"])
            open_data(built)
            _dry_pass(built, run_dir)
            for term, shapes in _shapes(built).items():
                if term in left and left[term][1] != shapes:
                    raise _unfit(term, shapes, *left[term])
                left[term] = (stage, shapes)


def _without_loggers(own: Tree) -> Tree:
    own = deepcopy(own)
    put(own, "trainer.logger", False)
    return own


def _dry_pass(built: Built, run_dir: Path) -> None:
    given = built.trainer["callbacks"]
    callbacks = [one for one in given if isinstance(one, TrainOnly)] if given else []
    plain: dict[str, Any] = {"callbacks": callbacks, "enable_checkpointing": False}
    trainer = pl.Trainer(**(own_settings(built, run_dir) | plain | {"enable_progress_bar": False}))
    trainer.datamodule = built.data  # type: ignore[attr-defined]
    built.model.trainer = built.data.trainer = trainer
    for callback in callbacks:
        callback.setup(trainer, built.model, "fit")
    built.model.setup("fit")


def _shapes(built: Built) -> dict[str, _Shapes]:
    found = parts(built.model.state_dict())
    return {
        term: {name: tuple(value.shape) for name, value in found.get(term, {}).items()}
        for term in getattr(built.model, "losses", ())
    }


def _unfit(term: str, shapes: _Shapes, before: str, left: _Shapes) -> RecipeError:
    odd = next(name for name in {**left, **shapes} if left.get(name) != shapes.get(name))
    told = f"{odd} is {left.get(odd, 'absent')} there and {shapes.get(odd, 'absent')} here"
    return RecipeError(f"model.losses.{term}", f"does not go on from stage {before}: {told}")
