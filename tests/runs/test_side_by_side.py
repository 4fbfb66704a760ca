"""Labels, teacher and student in columns, each with its own boxes."""

import numpy as np
import torch

from distill.core.batch import Batch, Boxes
from distill.runs.side_by_side import side_by_side
from distill.tasks import Classification, Detection, Segmentation


def scene(**labels: object) -> Batch:
    images = torch.zeros(8, 1, 48, 48, dtype=torch.uint8)
    return Batch(images, torch.zeros(8, dtype=torch.int64), torch.arange(8), 0, **labels)  # type: ignore[arg-type]


def found(left: float) -> dict[str, torch.Tensor]:
    """A box of the second class in each image."""
    boxes = torch.tensor([left, 8.0, left + 16, 24.0]).expand(8, 1, 4)
    return {"scores": torch.tensor([0.0, 0.9]).expand(8, 1, 2), "boxes": boxes}


def columns(sheet: object, count: int) -> list[np.ndarray]:
    coloured = np.ptp(np.asarray(sheet)[16:].astype(int), axis=2) > 40
    return np.split(coloured[:, : coloured.shape[1] // count * count], count, axis=1)


def test_each_column_shows_its_own_boxes() -> None:
    rows = torch.arange(8)
    xyxy = torch.tensor([[2.0, 8, 18, 24]]).expand(8, 4)
    batch = scene(boxes=Boxes(xyxy, rows, torch.ones(8, dtype=torch.int64)))
    said = {"teacher": found(2.0), "student": found(28.0)}
    sheet = side_by_side(Detection(), batch, said, ("cat", "dog"))
    label, teacher, student = columns(sheet, 3)
    assert label.sum() > 500
    assert np.array_equal(label, teacher)
    assert not np.array_equal(label, student)
    assert (np.flatnonzero(student.any(0)) >= 28 * 4).all()
    assert label.shape[0] == 6 * (192 + 6)


def test_masks_are_tinted_and_a_student_may_be_alone() -> None:
    mask = torch.zeros(8, 48, 48, dtype=torch.int64)
    mask[:, :24] = 1
    logits = torch.nn.functional.one_hot(mask, 2).permute(0, 3, 1, 2).float()
    sheet = side_by_side(Segmentation(), scene(mask=mask), {"student": logits}, ("a", "b"))
    label, student = columns(sheet, 2)
    assert label.mean() > 0.4
    assert np.array_equal(label, student)


def test_images_of_one_class_each_are_not_drawn() -> None:
    assert (
        side_by_side(Classification(), scene(), {"student": torch.zeros(8, 2)}, ("a", "b")) is None
    )
