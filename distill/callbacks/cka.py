"""On demand: how alike stages of student and teacher see the validation images."""

from collections.abc import Sequence

import pytorch_lightning as pl
from torch import Tensor

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.core.protocols import NamedNetworks, RunModule
from distill.metrics import LinearCKA
from distill.wiring.keys import Key, split_key
from distill.wiring.tap import Taps

_WHERE = "trainer.callbacks.CKA.pairs"


class CKA(pl.Callback):
    """Logs linear CKA between pairs of places in every validation, as ``val/cka/<name>``.

    See :func:`distill.metrics.linear_cka`. Each validation batch passes through the networks once
    more; training goes on exactly as without it.

    Args:
        pairs: By any name, two places: ``{stage3: [student@layer3, teacher@layer3]}``; a place is
            written as in a term's inputs, and both may lie in the student.

    Attributes:
        values: By name, the similarity in the last validation.

    Raises:
        RecipeError: In ``setup``, for a place that does not exist.
    """

    def __init__(self, pairs: dict[str, list[str]]) -> None:
        self._pairs = {name: [_place(name, key) for key in keys] for name, keys in pairs.items()}
        for name, places in self._pairs.items():
            if len(places) != 2:
                raise ValueError(f"pairs.{name} must be two places, got {pairs[name]}")
        self._metrics: dict[str, LinearCKA] = {}
        self.values: dict[str, float] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Check the places."""
        if stage == "fit":
            for taps in self._taps(_networks(pl_module)).values():
                taps.remove()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make empty metrics."""
        self._metrics = {name: LinearCKA().to(pl_module.device) for name in self._pairs}

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch | Sequence[Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        with trainer.precision_plugin.forward_context():
            image = batch.image if isinstance(batch, Batch) else batch[0]
            features = self._features(_networks(pl_module), image)
        for name, (first, second) in self._pairs.items():
            self._metrics[name].update(features[first], features[second])

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what was found."""
        for name, metric in self._metrics.items():
            self.values[name] = metric.compute().item()
            pl_module.log(f"val/cka/{name}", self.values[name])

    def _features(self, networks: NamedNetworks, image: Tensor) -> dict[Key, Tensor]:
        found: dict[Key, Tensor] = {}
        for name, taps in self._taps(networks).items():
            networks.outputs(name, image[:1])
            taps.find_in_place()
            networks.outputs(name, image)
            found |= {Key(name, "@", path): value for path, value in taps.take().items()}
            taps.remove()
        return found

    def _taps(self, networks: NamedNetworks) -> dict[str, Taps]:
        paths: dict[str, list[str]] = {}
        for place in (place for pair in self._pairs.values() for place in pair):
            paths.setdefault(place.head, []).append(place.rest)
        taps = {}
        for name in paths:
            if name not in networks.by_name:
                raise RecipeError(_WHERE, f"there is no {name}")
            try:
                taps[name] = Taps(networks.by_name[name], paths[name])
            except ValueError as error:
                raise RecipeError(_WHERE, f"{name}: {error}") from error
        return taps


def _networks(module: pl.LightningModule) -> NamedNetworks:
    if not isinstance(module, RunModule):
        raise RecipeError(_WHERE, f"needs a module with networks, got {type(module).__name__}")
    return module.networks


def _place(name: str, key: str) -> Key:
    place = split_key(key)
    if place.mark != "@" or not place.head or not place.rest:
        raise ValueError(f"pairs.{name} needs student@PATH or teacher@PATH, got {key!r}")
    return place
