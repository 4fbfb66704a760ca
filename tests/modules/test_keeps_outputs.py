from pathlib import Path

import pytest
import pytorch_lightning as pl

from distill.cache.listing import list_caches
from distill.modules import Distillation
from tests.fixtures.caches import CE, data, teacher, terms
from tests.fixtures.networks import tiny

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


class StoppedError(Exception):
    """Ends a run."""


class Stops(pl.Callback):
    """Ends the run in mid-epoch."""

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, *_: int
    ) -> None:
        if trainer.global_step == 2:
            raise StoppedError


def test_a_run_that_ends_in_mid_epoch_leaves_what_its_teacher_said(tmp_path: Path) -> None:
    cache = str(tmp_path / "c.shards")
    module = Distillation(teacher(), tiny(8), {"ce": CE, "kd": terms()["kd"]}, cache=cache)
    trainer = pl.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        num_sanity_val_steps=0,
        callbacks=[Stops()],
    )
    with pytest.raises(StoppedError):
        trainer.fit(module, data())
    assert list_caches(tmp_path)[0].entries == {"teacher.logits": 32}
