"""The weights that a stage hands to the next: student, peers, trained parts of losses."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from distill.core.errors import RecipeError
from distill.core.files import write_tensors
from distill.core.initial_weights import FROM_CHECKPOINT, untrained
from distill.recipes import Recipe
from distill.runs.checkpoint_io import SafeCheckpointIO


def save_loss_state(folder: Path) -> None:
    """Write the parts of each loss of a finished stage to ``losses/<term>.safetensors``.

    Args:
        folder: The stage's run directory.

    Raises:
        RecipeError: If its last checkpoint is missing or damaged.
    """
    path = folder / "checkpoints" / "last.ckpt"
    try:
        state = SafeCheckpointIO().load_checkpoint(path)["state_dict"]
    except ValueError as error:
        raise RecipeError(str(path), "is missing or damaged; the next stage needs it") from error
    for term, tensors in loss_state(state).items():
        file = _file(folder, "losses", term)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(file, tensors)


def loss_state(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a module's losses by term and name."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        root, _, rest = key.partition(".")
        term, _, name = rest.partition(".")
        if root == "losses":
            found.setdefault(term, {})[name] = value
    return found


def init_from_stage(own: Recipe, earlier: Sequence[Path], wraps: bool = False) -> Recipe:
    """A stage's recipe that begins with the weights that earlier stages saved.

    The student and peers are those of the stage before, a loss is as the last stage that had it
    left it. Everything must fit exactly; optimizer and schedule begin anew.

    Args:
        own: The stage's recipe.
        earlier: The run directories of the stages before it, the latest first.
        wraps: Whether the stage changes the student, so that what it changes is filled.
    """
    if not earlier:
        return own
    student = earlier[0] / "student.safetensors"
    place = "model.student.model" if wraps else "model.student"
    own = own.put(place, _filled(untrained(own.get(place)), student))
    peers = own.get("model.peers") or {}
    for name, file in _found("peers", peers, earlier[:1]):
        own = own.put(f"model.peers.{name}", _filled(peers[name], file))
    losses = own.get("model.losses")
    for name, file in _found("losses", losses, earlier):
        own = own.put(f"model.losses.{name}.loss", _filled(losses[name]["loss"], file))
    return own


def _found(kind: str, names: Iterable[str], folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each name with its newest file, where there is one."""
    found = []
    for name in names:
        files = (_file(folder, kind, name) for folder in folders)
        if file := next((file for file in files if file.is_file()), None):
            found.append((name, file))
    return found


def _file(folder: Path, kind: str, name: str) -> Path:
    return folder / kind / f"{name}.safetensors"


def _filled(spec: Any, file: Path) -> dict[str, Any]:  # noqa: ANN401 - a class path, alone or with arguments
    arguments = {"model": spec, "path": str(file)}
    return {"class_path": FROM_CHECKPOINT, "init_args": arguments}
