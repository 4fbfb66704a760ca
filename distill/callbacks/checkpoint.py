"""Checkpoints that are whole or absent: written beside the old one, checked when read."""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

_SIDECAR = ".sha256"


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file in its own folder, then renames it over the old one.

    A sidecar holds the SHA-256 of the file; reading refuses what does not match, and never
    executes anything in it (``weights_only``).
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any | None = None,  # noqa: ANN401 - Lightning's signature
    ) -> None:
        """Write atomically."""
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            # The sidecar lists the old file's hash too: whichever file a kill leaves is valid.
            known = [_sha256(temporary), *_known(final)[:1]]
            note = temporary.with_suffix(".note")
            note.write_text("\n".join(known) + "\n")
            note.replace(_sidecar(final))
            temporary.replace(final)
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
            ValueError: If the file is damaged, naming it.
        """
        if not is_valid(Path(path)):
            raise ValueError(f"{path} is damaged: it does not match {_sidecar(Path(path)).name}")
        loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return loaded

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a checkpoint and its sidecar."""
        super().remove_checkpoint(Path(path))
        _sidecar(Path(path)).unlink(missing_ok=True)


def checkpointers(folder: Path) -> list[ModelCheckpoint]:
    """The two checkpoints of every run: ``last.ckpt`` each epoch, ``best.ckpt`` by ``val/top1``."""
    best = _Movable(folder, "best", monitor="val/top1", mode="max", enable_version_counter=False)
    last = _Movable(
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


def is_valid(path: Path) -> bool:
    """Whether a checkpoint is there and matches its sidecar."""
    return path.is_file() and _sha256(path) in _known(path)


def newest_valid(folder: Path) -> Path | None:
    """The newest undamaged checkpoint in a folder."""
    newest_first = sorted(folder.glob("*.ckpt"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
    return next((path for path in newest_first if is_valid(path)), None)


def _replaced(value: Any, old: str, new: str) -> Any:  # noqa: ANN401 - any state value
    return value.replace(old, new) if isinstance(value, str) else value


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + _SIDECAR)


def _known(path: Path) -> list[str]:
    sidecar = _sidecar(path)
    return sidecar.read_text().split() if sidecar.is_file() else []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
