"""Builds every stage before the first is trained, so that no fault is found hours later."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from torch import Tensor

from distill.core.errors import RecipeError
from distill.core.protocols import HasLosses
from distill.recipes import Recipe
from distill.recipes.stages import in_stage, stages
from distill.runs.pruned_widths import refuse_unknown_widths
from distill.runs.rehearsal import rehearse
from distill.runs.session import Session, quiet_lightning
from distill.runs.settle import place_of, settle
from distill.runs.staged_weights import loss_state

_Shapes = dict[str, tuple[int, ...]]


def validate_stages(
    recipe: Recipe, run_dir: Path, trusted: Sequence[str], console: Console
) -> Recipe:
    """Build every stage, with its data and a rehearsal, and check that earlier ones fit later ones.

    Args:
        recipe: The recipe.
        run_dir: Where the stages' runs will be.
        trusted: Further packages whose classes the recipe may name.
        console: Where to print.

    Returns:
        The recipe; a precision that this machine cannot compute in is changed in its stage.

    Raises:
        RecipeError: For the first stage that would fail.
    """
    saved: dict[str, tuple[str, _Shapes]] = {}
    every = stages(recipe)
    for stage in every:
        own = stages(recipe)[stage]
        with quiet_lightning(), in_stage(recipe, stage):
            refuse_unknown_widths(next(iter(every.values())), own)
            session = Session(own.put("trainer.logger", False), run_dir, trusted, console)
            used = session.settings["precision"]
            named = own.get("trainer.precision") is not None and not own.measures
            if named and used != own.get("trainer.precision"):
                recipe = recipe.put(f"stages.{stage}.trainer.precision", used)
            session.set_up_data()
            place = place_of(recipe, stage)
            for key, value in settle(session, console).items():
                recipe = recipe.put(place + key, value)
            rehearse(session)
            for term, shapes in _shapes(session).items():
                if term in saved and saved[term][1] != shapes:
                    raise _mismatch(term, stage, shapes, *saved[term])
                saved[term] = (stage, shapes)
    return recipe


def _shapes(session: Session) -> dict[str, _Shapes]:
    if not isinstance(session.module, HasLosses):
        return {}
    found: Mapping[str, Mapping[str, Tensor]] = loss_state(session.module.state_dict())
    return {
        term: {name: tuple(value.shape) for name, value in found.get(term, {}).items()}
        for term in session.module.losses
    }


def _mismatch(term: str, stage: str, here: _Shapes, before: str, saved: _Shapes) -> RecipeError:
    odd = next(name for name in {**saved, **here} if saved.get(name) != here.get(name))
    wanted, found = here.get(odd, "nothing"), saved.get(odd, "nothing")
    expected = f"stage {stage!r} expects losses.{term}.{odd} {wanted}"
    message = f"{expected}, stage {before!r} saved {found}"
    return RecipeError(f"model.losses.{term}", message)
