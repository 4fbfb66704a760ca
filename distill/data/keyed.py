"""The base of datamodules with keyed batches."""

import pytorch_lightning as pl

from distill.core.batch import Batch
from distill.core.preprocessing import Rule
from distill.data.loader import KeyedLoader
from distill.data.pipeline import Pipeline
from distill.tasks import Classification, Task


class KeyedData(pl.LightningDataModule):
    """Batches from a pipeline; a subclass fills its three sets in ``setup``.

    Args:
        pipeline: Makes the batches.

    Attributes:
        task: Gives the labels their meaning.
        classes: Names of the classes.
        mean: Per channel, of images in 0..1.
        std: Per channel.
        resize: How images of other sizes become images of this one.
    """

    task: Task = Classification()
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: Rule = "squash"

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    @property
    def seed(self) -> int:
        """The run's seed: determines order and views unless the data have a seed of their own.

        A run sets it before ``setup``.
        """
        return self.pipeline.run_seed

    @seed.setter
    def seed(self, value: int) -> None:
        self.pipeline.run_seed = value

    @property
    def batch_size(self) -> int:
        """Training images per step and process; the batch-size finder sets it."""
        return self.pipeline.batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self.pipeline.batch_size = value

    def sizes(self) -> dict[str, int]:
        """Number of images by split, of the splits that are set up."""
        return self.pipeline.sizes()

    def highest_index(self) -> int:
        """The largest number of a training sample."""
        return self.pipeline.highest_index()

    def example(self, n: int) -> Batch:
        """Make a batch of the first ``n`` training (or test) samples, not augmented."""
        return self.pipeline.example(n)

    def val_example(self, n: int) -> Batch:
        """Make a batch of the first ``n`` validation samples."""
        return self.pipeline.val_example(n)

    def fingerprint(self, of_batch: bool = False) -> dict[str, str]:
        """List what training views, or views in their batches, depend on, by dotted key."""
        return self.pipeline.fingerprint(self.trainer, of_batch)

    def train_dataloader(self) -> KeyedLoader:
        """Make the loader of training batches."""
        return self.pipeline.train_loader(self.trainer)

    def val_dataloader(self) -> KeyedLoader:
        """Make the loader of validation batches."""
        return self.pipeline.eval_loader("val")

    def test_dataloader(self) -> KeyedLoader:
        """Make the loader of test batches."""
        return self.pipeline.eval_loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches, on their device."""
        training = self.trainer is not None and self.trainer.training
        return self.pipeline.current.augmented(batch) if training else batch
