"""What the teacher says of unlabelled images."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from distill.batch import Batch
from distill.build import Built
from distill.data.datasets import Samples
from distill.data.loader import InOrder, KeyedLoader
from distill.data.partly_labelled import PartlyLabelled
from distill.errors import RecipeError
from distill.modules import Distillation
from distill.modules.image_data import fitting_logits, own_normalization
from distill.run import own_settings

_BATCH = 256


def label(built: Built, samples: Samples, folder: Path) -> Tensor:
    """The teacher's logits for images as they are in evaluation, in the teacher's declared mode.

    Args:
        built: A recipe with a teacher.
        samples: Its ids say which images, and in which order.
        folder: What Lightning takes for its own.

    Returns:
        Logits (n, k), float32.

    Raises:
        RecipeError: If there is no teacher, or it does not fit the images.
    """
    labeller = _Labeller(built.model, built.data)
    changes = {
        "logger": False,
        "callbacks": [],
        "plugins": None,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
    }
    trainer = pl.Trainer(**(own_settings(built, folder) | changes))
    loader = KeyedLoader(samples, InOrder(samples.ids, _BATCH), built.data.pipeline.workers)
    return torch.cat(cast(list[Tensor], trainer.predict(labeller, loader)))


class _Labeller(pl.LightningModule):
    """Asks the teacher alone."""

    def __init__(self, model: pl.LightningModule, data: PartlyLabelled) -> None:
        super().__init__()
        if not isinstance(model, Distillation) or model.teacher is None:
            raise RecipeError("model.teacher", "is needed to label images")
        self.model = model
        self._normalized = model.normalization.get("teacher") or own_normalization(
            model.teacher, data
        )
        teacher: nn.Module = model.teacher
        self._logits: Callable[[Tensor], Tensor] = lambda image: teacher(self._normalized(image))
        with torch.no_grad():
            image = data.example(2).image
            fitting_logits("model.teacher", teacher, self._logits, image, data.classes)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The logits of a batch, in memory."""
        return self._logits(batch.image).float().cpu()
