"""What the teacher says of unlabelled images."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.data.datasets import Samples
from distill.data.loader import InOrder, KeyedLoader
from distill.data.partly_labelled import PartlyLabelled
from distill.modules import Distillation
from distill.modules.image_data import ImageData, fitting_logits, own_normalization
from distill.recipes.build import Built
from distill.runs.single import own_settings

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
        RecipeError: If the teacher does not fit the images.
    """
    labeller = _Labeller(built.model, built.data)
    changes = {
        "logger": False,
        "callbacks": [],
        "plugins": None,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "limit_test_batches": None,
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
    }
    trainer = pl.Trainer(**(own_settings(built, folder) | changes))
    loader = KeyedLoader(samples, InOrder(samples.ids, _BATCH), built.data.pipeline.workers)
    # Not `predict`: there Lightning puts a sampler of its own in place of the keyed one.
    trainer.test(labeller, loader, verbose=False)
    return torch.cat(labeller.logits)


class _Labeller(pl.LightningModule):
    """Asks the teacher alone."""

    def __init__(self, model: Distillation, data: PartlyLabelled) -> None:
        super().__init__()
        self.logits: list[Tensor] = []
        self.model, teacher = model, cast(nn.Module, model.teacher)
        given = model.normalization.get("teacher")
        normalized = given or own_normalization(teacher, cast(ImageData, data))
        self._look: Callable[[Tensor], Tensor] = lambda image: teacher(normalized(image))
        with torch.no_grad():
            image = data.example(2).image
            fitting_logits("model.teacher", teacher, self._look, image, data.classes)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the logits of a batch, in memory."""
        self.logits.append(self._look(batch.image).float().cpu())
