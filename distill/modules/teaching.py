"""A module's teacher, if it has one, and what is kept of what it gives."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol, cast, runtime_checkable

import pytorch_lightning as pl
from torch import Tensor, nn

from distill.cache import CacheSettings, Encoding, RequestsCache, TeacherCache
from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.fingerprint import module_fields
from distill.core.outputs import Outputs
from distill.modules.finite import check_weights
from distill.modules.keeps_outputs import KeepsOutputs
from distill.modules.networks import Networks
from distill.modules.teacher import Frozen, MovingAverage, Teacher, TeacherMode
from distill.tasks import ImageData

_SAVED = "mean_teacher"


@runtime_checkable
class Fingerprinted(Protocol):
    """A datamodule that can say what its views depend on."""

    def fingerprint(self, of_batch: bool = False) -> dict[str, str]:
        """What the views of training, or views in their batches, depend on, by dotted key."""


class Teaching(KeepsOutputs):
    """Holds a teacher outside its module's tree, watches over it, and keeps its outputs.

    The module that owns it gives it to Lightning as a callback.

    Args:
        network: The teacher; None: there is none, and nothing here does anything.
        mode: See :class:`~distill.modules.teacher.Frozen`.
        cache: Where to keep its outputs; None: nowhere, unless the teacher asks for it itself.

    Attributes:
        teacher: The network's holder.
        settings: Of its cache; None: nothing is kept.
        cache: The open cache, in training.

    Raises:
        ValueError: If both ``cache`` and the teacher say where to keep its outputs.
    """

    def __init__(self, network: nn.Module | None, mode: TeacherMode, cache: str | None) -> None:
        self.settings = CacheSettings(cache) if cache is not None else None
        if isinstance(network, RequestsCache):
            if cache is not None:
                raise ValueError("cache must not be given twice: the teacher is a Cached one")
            # Its network takes its place, so that the paths of layers are the same without it.
            self.settings, network = network.cache_settings, network.network
        self.teacher: Teacher | None = Frozen(network, mode) if network is not None else None
        super().__init__()

    @property
    def network(self) -> nn.Module | None:
        """The teacher itself."""
        return self.teacher.network if self.teacher else None

    @property
    def changes(self) -> bool:
        """Whether it changes in training."""
        return self.teacher is not None and self.teacher.changes

    @property
    def saved(self) -> dict[str, nn.Module]:
        """A teacher that changed, by the file that a finished run leaves it in."""
        return {"teacher.safetensors": self.network} if self.network and self.changes else {}

    @property
    def absent(self) -> dict[str, str]:
        """What to say to a term that reads from a teacher that is not there."""
        return {} if self.teacher is not None else {"teacher": "model.teacher is null"}

    @property
    def stored(self) -> Callable[[str, Tensor], Tensor] | None:
        """What a cache gives back in place of an output, by its key."""
        return Encoding(self.settings).round_trip if self.settings else None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training begins."""
        if self.teacher is not None:
            self.teacher.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that the teacher is in its declared mode."""
        if self.teacher is not None:
            self.teacher.check_mode()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that training did to the teacher what it is meant to."""
        if self.teacher is not None:
            self.teacher.finish()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save a teacher that changes; refuse weights that are not finite."""
        if self.teacher is not None and self.teacher.changes:
            checkpoint[_SAVED] = self.teacher.network.state_dict()
            check_weights(checkpoint[_SAVED], trainer.global_step)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with the teacher that was saved."""
        if self.teacher is not None and self.teacher.changes:
            self.teacher.network.load_state_dict(checkpoint[_SAVED])

    def average(self, decay: float, mode: TeacherMode) -> None:
        """Make the teacher, a copy of the student, the moving average of the student."""
        if self.network is not None:
            self.teacher = MovingAverage(self.network, decay, mode)

    def after_step(self, student: nn.Module, step: int) -> None:
        """The student has taken a step."""
        if self.teacher is not None:
            self.teacher.after_step(student, step)

    def open_cache(
        self, trainer: pl.Trainer, networks: Networks, keys: Sequence[str], data: ImageData
    ) -> None:
        """Open the cache, where one is asked for and terms read from the teacher.

        Args:
            trainer: What trains; outputs depend on its precision.
            networks: Say how the teacher's inputs are normalised.
            keys: What the terms read.
            data: What the views are of.

        Raises:
            RecipeError: If the outputs cannot be kept, or the file holds others.
        """
        self.cache = None
        if self.settings is None or self.teacher is None or not keys:
            return
        if not isinstance(data, Fingerprinted):
            needed = "needs a datamodule with a fingerprint, as those of distill.data"
            raise RecipeError("model.cache", f"{needed}, got {type(data).__name__}")
        mode = self.teacher.mode
        fields = module_fields("model.teacher", self.teacher.network) | {
            "model.teacher_mode": mode,
            "model.normalization.teacher": str(networks.normalization["teacher"]),
            "trainer.precision": str(trainer.precision),
        }
        fields.pop("model.teacher.input_normalization", None)  # the one in use is among them
        # Outputs do not depend on names.
        fields = {key: of for key, of in fields.items() if not key.endswith(".trained_classes")}
        try:
            fields |= data.fingerprint(of_batch=mode == "batch_statistics")
        except ValueError as error:
            message = f"in mode {mode} a teacher's outputs depend on the batch, and {error}"
            raise RecipeError("model.cache", message) from error
        self.cache = TeacherCache(self.settings, fields, keys)

    def notes(self) -> list[str]:
        """Where outputs are kept, if they are."""
        return [f"cache    {self.cache.store.path}"] if self.cache else []

    def outputs(self, networks: Networks, batch: Batch) -> Outputs:
        """The teacher's outputs for images as they are, from the cache where they are in it.

        Those for each pixel or point are not kept: one pass of a run costs less than their size.
        """

        def forward() -> Outputs:
            with self.teacher.judged() if self.teacher else nullcontext():
                return networks.outputs("teacher", batch.image)

        dense = batch.mask is not None or batch.boxes is not None
        # A cache of the other mode is of other outputs.
        if dense or self.cache is None or self.teacher is None or self.teacher.mode != "eval":
            return forward()
        return self.cache.logits(batch, lambda: cast(Tensor, forward()))
