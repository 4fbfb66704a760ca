"""Which view of its samples an epoch shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from distill.core.batch import Batch
from distill.core.fingerprint import module_fields
from distill.core.randomness import fold


@dataclass(frozen=True)
class Views:
    """The augmentations of a run with the seed that they and the order of samples follow from.

    Attributes:
        augment: Augmentations, in order.
        seed: Runs that share it, see the same views.
        repeat: Epoch e shows the views of epoch ``e % repeat``; None: every epoch shows new ones.
        decoded: Whether the samples come decoded in keyed views already.

    Raises:
        ValueError: If ``repeat`` is below 1.
    """

    augment: Sequence[nn.Module]
    seed: int
    repeat: int | None = None
    decoded: bool = False

    def __post_init__(self) -> None:
        if self.repeat is not None and self.repeat < 1:
            raise ValueError(f"views must be at least 1, got {self.repeat}")

    @property
    def mixed(self) -> bool:
        """Whether a sample's view depends on its batch, so that views repeat with whole batches."""
        return any(getattr(augmentation, "mixes", False) for augmentation in self.augment)

    @property
    def fixed(self) -> bool:
        """Whether every epoch shows the images as they are."""
        return not (self.augment or self.decoded)

    def of_epoch(self, epoch: int) -> int:
        """The number of the views that an epoch shows."""
        if self.fixed:
            return 0
        return epoch % self.repeat if self.repeat else epoch

    def augmented(self, batch: Batch) -> Batch:
        """The keyed view of each sample of a training batch."""
        for place, augmentation in enumerate(self.augment):
            batch = augmentation(batch, fold(self.seed, "augment", place, batch.epoch))
        return batch

    def fields(self) -> dict[str, str]:
        """What the views depend on, beside the images, by dotted key."""
        fields = {} if self.fixed else {"data.seed": str(self.seed)}
        for place, augmentation in enumerate(self.augment):
            fields |= module_fields(f"data.augment.{place}", augmentation)
        return fields
