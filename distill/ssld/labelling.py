"""A teacher's logits for unlabelled images."""

from collections.abc import Callable
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.outputs import logits_of
from distill.data.datasets import Samples
from distill.data.loader import KeyedLoader, SequentialBatchSampler
from distill.data.partly_labelled import PartlyLabelled
from distill.modules import Distillation
from distill.modules.networks import checked_outputs, own_normalization
from distill.runs.session import Session

_BATCH = 256


def label(session: Session, data: PartlyLabelled, samples: Samples) -> Tensor:
    """Compute the teacher's logits for images as in evaluation, in its declared mode.

    Args:
        session: Of a recipe with a teacher.
        data: The recipe's datamodule.
        samples: Images to label, in the order of their ids.

    Returns:
        Logits (n, k), float32.

    Raises:
        RecipeError: If the teacher does not fit the images.
    """
    labeler = _Labeler(cast(Distillation, session.module), data)
    trainer = session.bare_trainer(
        plugins=None,
        enable_progress_bar=False,
        limit_test_batches=None,
        devices=1,
        num_nodes=1,
        strategy="auto",
    )
    batches = SequentialBatchSampler(samples.ids, _BATCH)
    loader = KeyedLoader(samples, batches, data.pipeline.workers)
    # Not `predict`: there Lightning replaces the keyed sampler.
    trainer.test(labeler, loader, verbose=False)
    return torch.cat(labeler.logits)


class _Labeler(pl.LightningModule):
    """Runs the teacher alone."""

    def __init__(self, model: Distillation, data: PartlyLabelled) -> None:
        super().__init__()
        self.logits: list[Tensor] = []
        self.model, teacher = model, cast(nn.Module, model.teacher)
        given = model.networks.normalization.get("teacher")
        normalized = given or own_normalization(teacher, data)
        self._forward: Callable[[Tensor], Tensor] = lambda image: teacher(normalized(image))
        with torch.no_grad():
            image = data.example(2).image
            checked_outputs("model.teacher", teacher, self._forward, image, data)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Store the logits of a batch, in memory."""
        self.logits.append(logits_of(self._forward(batch.image)).float().cpu())
