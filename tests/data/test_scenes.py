"""Scenes: exact labels, disjoint parts, the same scenes for everybody."""

from typing import Any

import numpy as np
import pytest
import torch

from distill.data import Scenes
from distill.data.dense import DenseImages, Table
from distill.data.scenes import _grounds, _objects, scenes
from distill.tasks import Detection, Segmentation


def ready(labels: str, **options: Any) -> Scenes:
    data = Scenes(labels, **({"train": 12, "val": 6, "test": 6, "batch_size": 4} | options))  # type: ignore[arg-type]
    data.setup("fit")
    return data


def test_boxes_are_the_tight_boxes_of_their_pixels() -> None:
    table = scenes("train", 40, 48, False)
    assert table.boxes is not None
    assert table.masks is not None
    for image in range(40):
        covered = np.zeros((48, 48), bool)
        own = table.boxes.where(table.boxes.image == image)
        assert 1 <= len(own.label) <= 3
        for (left, top, right, bottom), label in zip(
            own.xyxy.int().tolist(), own.label.tolist(), strict=True
        ):
            inside = table.masks[image, top:bottom, left:right].numpy() == label + 1
            assert inside.any(0)[[0, -1]].all()
            assert inside.any(1)[[0, -1]].all()
            covered[top:bottom, left:right] |= inside
        assert np.array_equal(covered, table.masks[image].numpy() > 0)


def test_a_digit_and_a_part_of_a_photograph_belong_to_one_set() -> None:
    digits = [_objects(name).images.flatten(1) for name in ("train", "val", "test")]
    assert sum(len(each) for each in digits) == 1797
    widths = [
        [ground.shape[2] for ground in _grounds(name, False)] for name in ("train", "val", "test")
    ]
    assert np.sum(widths, 0).tolist() == [640, 640]


def test_classes_and_tasks() -> None:
    masks, boxes = ready("masks"), ready("boxes")
    assert isinstance(masks.task, Segmentation)
    assert isinstance(boxes.task, Detection)
    assert masks.classes == ("ground", *boxes.classes)
    assert boxes.classes == tuple("0123456789")
    batch = next(iter(masks.train_dataloader()))
    assert batch.boxes is not None
    assert int(batch.boxes.image.max()) < 4
    assert batch.mask is not None
    assert batch.mask.shape == (4, 48, 48)


def test_scenes_do_not_depend_on_how_many_are_drawn_or_on_a_seed() -> None:
    few, many = scenes("val", 3, 48, False), scenes("val", 6, 48, False)
    assert torch.equal(few.images, many.images[:3])
    assert torch.equal(ready("masks", seed=1).example(2).image, ready("masks").example(2).image)
    coloured = ready("boxes", colour=True, image_size=64)
    assert coloured.example(1).image.shape == (1, 3, 64, 64)


def test_a_batch_has_the_boxes_of_its_images_in_their_rows() -> None:
    data = ready("boxes")
    samples = data.pipeline.train
    assert isinstance(samples, DenseImages)
    loader = data.train_dataloader()
    table = scenes("train", 12, 48, False)
    assert table.boxes is not None
    for batch in loader:
        assert batch.boxes is not None
        for row, sample in enumerate(batch.index.tolist()):
            own = batch.boxes.where(batch.boxes.image == row)
            expected = table.boxes.where(table.boxes.image == sample)
            assert torch.equal(own.xyxy, expected.xyxy)
            assert torch.equal(own.label, expected.label)


def test_the_digest_tells_labels_apart() -> None:
    table, ids = scenes("val", 2, 48, False), torch.arange(2)
    assert table.masks is not None
    changed = Table(table.images, table.masks.roll(1, 1), table.boxes)
    assert DenseImages(table, ids).digest() != DenseImages(changed, ids).digest()
    assert DenseImages(Table(table.images), ids).largest_box() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "lines"}, "^labels must be masks or boxes, got 'lines'$"),
        ({"image_size": 20}, r"^image_size must be in 24\.\.256, got 20$"),
        ({"val": 0}, "^val must be at least 1, got 0$"),
    ],
)
def test_wrong_arguments_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scenes(**({"labels": "masks"} | options))
