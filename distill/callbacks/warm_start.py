"""Begins a run with the weights that another one ended with."""

import pickle
from pathlib import Path

import pytorch_lightning as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.core.protocols import HasLosses, RunModule

_LOSSES = "losses."


class WarmStart(pl.Callback):
    """Gives the student, and losses with parts of their own, the weights of a finished run.

    Optimizer and schedule begin anew, and so does the count of epochs. A term that the other run
    did not have begins anew too. A run that is resumed goes on from its own checkpoint.

    Args:
        run_dir: The directory of the finished run.

    Raises:
        RecipeError: In ``setup``, if its files are missing or damaged, or do not fit.
    """

    def __init__(self, run_dir: str) -> None:
        self._run_dir = Path(run_dir)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Load the weights, before the module sets itself up from them."""
        # Lightning tells no callback that it resumes; a run that begins has no checkpoints yet.
        resumed = any(Path(trainer.default_root_dir, "checkpoints").glob("*.ckpt"))
        if stage != "fit" or resumed:
            return
        if not isinstance(pl_module, RunModule):
            raise RecipeError("model", f"{type(pl_module).__name__} has no student to warm-start")
        path = self._run_dir / "student.safetensors"
        try:
            _load(pl_module.student, load_file(path), path)
        except (OSError, SafetensorError) as error:
            raise RecipeError(str(path), f"cannot be read: {short(str(error), 200)}") from error
        if isinstance(pl_module, HasLosses) and pl_module.losses.state_dict():
            self._load_losses(pl_module.losses)

    def _load_losses(self, losses: nn.ModuleDict) -> None:
        path = self._run_dir / "checkpoints" / "last.ckpt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
            told = f"cannot be read, and holds parts of losses: {short(str(error), 200)}"
            raise RecipeError(str(path), told) from error
        for name, loss in losses.items():
            start = f"{_LOSSES}{name}."
            own = {key.removeprefix(start): v for key, v in state.items() if key.startswith(start)}
            if own:
                _load(loss, own, path)


def _load(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:  # torch's, with a line for each kind of difference
        told = f"does not fit {type(network).__name__}: {short(str(error), 300)}"
        raise RecipeError(str(path), told) from error
