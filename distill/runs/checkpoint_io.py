"""Checkpoints that are whole or absent: written beside the old one, checked when read.

Beside each checkpoint a sidecar, ``NAME.sha256``, holds its hash. Saving takes four steps, each on
the disk before the next begins:

1. The new checkpoint is written to a temporary file in its folder.
2. The sidecar is replaced by one that lists the new file's hash and all that the old one listed.
3. The temporary file is renamed over the old checkpoint.
4. The sidecar is replaced by one that lists the new file's hash alone.

Wherever this is killed, a whole file is there, the old one before step 3 and the new one after it,
and the sidecar lists its hash. It may list others too, those of files that came to be or not to be
in saves that were killed before, since nothing tells which of them step 3 put there. The next save
that ends drops them, and writes over a temporary file that was left.
"""

import io
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from distill.core.files import sha256, write_through
from distill.core.rank import first_process

_SIDECAR = ".sha256"


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes and reads checkpoints as this module says.

    Reading refuses a file that does not match its sidecar, and never executes anything in it
    (``weights_only``).
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any | None = None,  # noqa: ANN401 - Lightning's signature
    ) -> None:
        """Write whole or not at all."""
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.tmp")
        try:
            # Torch's own writer tells a full disk by twenty lines of C++.
            content = io.BytesIO()
            torch.save(checkpoint, content)
            write_through(temporary, content.getbuffer())
            new = sha256(temporary)
            _list_hashes(final, [new, *_listed(final)])
            _sync_folder(final)
            temporary.replace(final)
            _sync_folder(final)
            _list_hashes(final, [new])
        finally:
            temporary.unlink(missing_ok=True)

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Any | None = lambda storage, loc: storage,  # noqa: ANN401
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read, after checking the hash.

        Raises:
            ValueError: If the file is damaged, naming it, and an undamaged one beside it.
        """
        if not is_valid(Path(path)):
            other = newest_valid(Path(path).parent)
            instead = f"; {other} is not damaged" if other else ""
            sidecar = _sidecar(Path(path)).name
            raise ValueError(f"{path} is damaged: it does not match {sidecar}{instead}")
        loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return loaded

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a checkpoint and its sidecar."""
        super().remove_checkpoint(Path(path))
        _sidecar(Path(path)).unlink(missing_ok=True)


def checkpointers(folder: Path, metric: str, goal: str) -> list[ModelCheckpoint]:
    """The two checkpoints of every run: ``last.ckpt`` each epoch, ``best.ckpt`` by its headline.

    Args:
        folder: Where they go.
        metric: The task's headline figure.
        goal: ``maximize`` or ``minimize`` it.
    """
    mode = "max" if goal == "maximize" else "min"
    best = _Movable(
        folder, "best", monitor=f"val/{metric}", mode=mode, enable_version_counter=False
    )
    last = _Last(
        folder,
        "last",
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return [best, last]


class _Movable(ModelCheckpoint):
    """A ModelCheckpoint that goes on after its run directory was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read the state as if it had been written for this folder."""
        old, new = str(state_dict["dirpath"]), str(self.dirpath)
        moved = {key: _replaced(value, old, new) for key, value in state_dict.items()}
        moved["best_k_models"] = {
            _replaced(key, old, new): value for key, value in state_dict["best_k_models"].items()
        }
        super().load_state_dict(moved)


class _Last(_Movable):
    """Saves at each epoch's end, which is after a batch without a step where time was over."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save; Lightning would not twice at one step."""
        self._last_global_step_saved = 0
        super().on_train_epoch_end(trainer, pl_module)


def is_valid(path: Path) -> bool:
    """Whether a checkpoint is there and matches its sidecar."""
    return path.is_file() and sha256(path) in _listed(path)


def has_sidecar(path: Path) -> bool:
    """Whether a checkpoint was written here, be it damaged since."""
    return _sidecar(path).is_file()


def newest_valid(folder: Path) -> Path | None:
    """The newest undamaged checkpoint in a folder."""
    return next((path for path in _newest_first(folder) if is_valid(path)), None)


def latest_valid_checkpoint(folder: Path) -> Path:
    """The newest undamaged checkpoint in a folder, with a warning if a newer one is damaged.

    Raises:
        ValueError: If there is none, naming those that are damaged.
    """
    damaged: list[str] = []
    for path in _newest_first(folder):
        if is_valid(path):
            if damaged and first_process():
                told = f"damaged: {', '.join(damaged)}; going on from {path}"
                warnings.warn(told, stacklevel=2)
            return path
        damaged.append(str(path))
    told = f"; damaged: {', '.join(damaged)}" if damaged else ""
    raise ValueError(f"holds no valid checkpoint to resume from{told}")


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ckpt"), key=lambda p: p.stat().st_mtime_ns, reverse=True)


def _replaced(value: Any, old: str, new: str) -> Any:  # noqa: ANN401 - any state value
    return value.replace(old, new) if isinstance(value, str) else value


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + _SIDECAR)


def _listed(path: Path) -> list[str]:
    sidecar = _sidecar(path)
    return sidecar.read_text(errors="replace").split() if sidecar.is_file() else []


def _list_hashes(path: Path, hashes: list[str]) -> None:
    """Replace a checkpoint's sidecar."""
    temporary = path.with_name(f".{path.name}{_SIDECAR}.tmp")
    try:
        with temporary.open("w") as file:
            file.write("\n".join(hashes) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(_sidecar(path))
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """Have a rename of a file on the disk before the next one."""
    folder = os.open(path.parent, os.O_RDONLY)
    with suppress(OSError):  # some network file systems cannot; all keep the order for a kill
        os.fsync(folder)
    os.close(folder)
