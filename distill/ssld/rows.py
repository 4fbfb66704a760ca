"""A term on the labelled or on the unlabelled images of a batch alone."""

from typing import Literal

import torch
from torch import Tensor, nn


class OnRows(nn.Module):
    """Applies a loss between student and teacher to some of the images of a batch.

    For batches of ``distill.data.PartlyLabelled``, where images without a label have a negative
    class number. ``distill.losses.CrossEntropyLoss`` does not need it: it ignores them itself. A
    batch without any of the selected images costs 0, with a gradient of 0.

    Args:
        loss: Takes ``student`` and ``teacher``, one row per image.
        rows: ``labelled`` or ``unlabelled``: the images that the loss is computed for.

    Raises:
        ValueError: If ``rows`` is another word.

    Example:
        >>> from distill.losses import KDLoss
        >>> loss = OnRows(KDLoss(), rows="unlabelled")
        >>> student, teacher = torch.tensor([[9.0, 0.0], [1.0, 1.0]]), torch.ones(2, 2)
        >>> float(loss(student, teacher, torch.tensor([0, -100])))
        0.0
    """

    def __init__(self, loss: nn.Module, rows: Literal["labelled", "unlabelled"]) -> None:
        super().__init__()
        if rows not in ("labelled", "unlabelled"):
            raise ValueError(f"rows must be labelled or unlabelled, got {rows!r}")
        self.loss, self.rows = loss, rows

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of the selected rows.

        Args:
            student: A row per image (b, ...).
            teacher: The same (b, ...).
            target: Class numbers (b,), negative where there is no label.

        Raises:
            ValueError: If the targets are not class numbers.
        """
        if target.ndim != 1:
            raise ValueError(f"target needs one class number per image, got {tuple(target.shape)}")
        selected = target < 0 if self.rows == "unlabelled" else target >= 0
        if not selected.any():
            return student[selected].sum(dtype=torch.promote_types(student.dtype, torch.float32))
        value: Tensor = self.loss(student=student[selected], teacher=teacher[selected])
        return value
