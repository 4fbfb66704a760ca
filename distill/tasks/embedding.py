"""Embeddings of images, learnt without labels and judged by a few."""

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from distill.core.batch import Batch
from distill.core.outputs import EMBEDDING, Outputs, embedding_of
from distill.metrics import EmbeddingAccuracy, EmbeddingComparison
from distill.tasks.task import ImageData


class Embedding:
    """Networks give an embedding (b, d); training images have no labels.

    Figures are those of labelled images, classified by the embeddings of a labelled bank: ``knn``,
    the headline, by their nearest neighbours, and ``linear``, by a linear probe; see
    ``distill.metrics.embeddings``. Validation batches say which images are the ``bank``.
    """

    metric = "knn"
    goal: Literal["maximize", "minimize"] = "maximize"
    outputs: tuple[str, ...] = (EMBEDDING,)
    sources: Mapping[str, str] = {"batch.index": "index"}

    def check_outputs(self, outputs: Outputs, data: ImageData) -> None:
        """Check that there is an embedding; its width is the network's own.

        Raises:
            ValueError: If there is none.
        """
        shape = tuple(embedding_of(outputs).shape)
        if len(shape) != 2:
            raise ValueError(f"needs an embedding (b, d), gives {shape}")

    def evaluation(self, data: ImageData) -> EmbeddingAccuracy:
        """The shares of images whose class is found, by k-NN and by a linear probe."""
        return EmbeddingAccuracy()

    def predicted(self, outputs: Outputs) -> Tensor:
        """The embedding (b, d), float32."""
        return embedding_of(outputs).float()

    def target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Class numbers (b,), and whether an image is of the bank (b,).

        Raises:
            ValueError: If the batch has no bank.
        """
        if batch.bank is None:
            raise ValueError("k-NN needs a bank of labelled images, as distill.data.Unlabelled has")
        return batch.target, batch.bank

    def label_loss(self, outputs: Outputs, batch: Batch) -> None:
        """Labels are not for an embedding to predict."""

    def comparison(self, data: ImageData, with_teacher: bool) -> EmbeddingComparison:
        """The similarity of the two embeddings."""
        return EmbeddingComparison(with_teacher)

    def keeps_predictions(self) -> bool:
        """There are none."""
        return False

    def caption(self, target: Tensor, classes: Sequence[str]) -> str:
        """The class's name, if the image has a label."""
        return classes[int(target)] if target >= 0 else "no label"
