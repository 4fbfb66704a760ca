from dataclasses import replace

import pytest
import torch

from distill.augment import CopyPaste
from distill.augment.copy_paste import _half_of_boxes, seen
from distill.augment.draws import partners
from distill.core.batch import Batch, Boxes
from distill.core.randomness import fold
from tests.augment.scenes import assert_same, listed, rectangles

PASTE = CopyPaste(probability=1.0)


def scene(n: int = 12) -> tuple[Batch, torch.Tensor]:
    """A batch, and the rows that are pasted into its images by key 1."""
    batch = rectangles(n)
    batch.image = batch.image // 2 + torch.arange(n, dtype=torch.uint8)[:, None, None, None]
    return batch, partners(fold(1, "partner"), batch.index)


def pasted_labels(view: Batch, batch: Batch, other: torch.Tensor, row: int) -> set[int]:
    """Which of the partner's boxes are new in an image; boxes have the class as label."""
    own = [box for box in listed(view.boxes) if box[0] == row]
    theirs = [(row, *box[1:]) for box in listed(batch.boxes) if box[0] == other[row]]
    return {int(box[1]) for box in theirs if box in own}


def test_pasted_boxes_bring_their_pixels_and_masks() -> None:
    batch, other = scene()
    view = PASTE(batch, 1)
    counts = [0, 0, 0]
    for row in range(12):
        labels = pasted_labels(view, batch, other, row)
        counts[len(labels)] += 1
        mask, image = batch.mask[row].clone(), batch.image[row].clone()
        for label in labels:
            inside = batch.mask[other[row]] == label
            mask[inside] = label
            image[:, inside] = batch.image[other[row]][:, inside]
        assert torch.equal(view.mask[row], mask)
        assert torch.equal(view.image[row], image)
    assert min(counts) > 0  # none, one or both of the two: each with probability 1/2


def test_without_masks_whole_boxes_are_pasted() -> None:
    batch, _ = scene()
    view, with_masks = PASTE(replace(batch, mask=None), 1), PASTE(batch, 1)
    assert torch.equal(view.image, with_masks.image)  # these boxes are filled by their objects
    assert listed(view.boxes) == listed(with_masks.boxes)
    batch.mask[:, ::2] = 0
    striped = PASTE(batch, 1)
    assert not torch.equal(striped.image, view.image)
    assert torch.equal(striped.image[:, :, ::2], batch.image[:, :, ::2])


def test_without_boxes_whole_classes_are_pasted() -> None:
    batch, other = scene(40)
    batch.mask[:, :2] = 255
    view = PASTE(replace(batch, boxes=None), 1)
    seen = set()
    for row in range(40):
        theirs = batch.mask[other[row]]
        for labels in ((), (1,), (2,), (1, 2)):
            inside = torch.isin(theirs, torch.tensor(labels, dtype=theirs.dtype))
            if torch.equal(view.mask[row], torch.where(inside, theirs, batch.mask[row])):
                image = torch.where(inside, batch.image[other[row]], batch.image[row])
                assert torch.equal(view.image[row], image)
                seen.add(labels)
                break
        else:
            pytest.fail(f"image {row} is made of something else")
    assert len(seen) == 4


def test_the_background_is_never_pasted() -> None:
    batch, other = scene(40)
    view = CopyPaste(background=1, probability=1.0)(replace(batch, boxes=None), 1)
    changed = view.mask != batch.mask
    assert changed.any()
    assert (batch.mask[other][changed] != 1).all()


@pytest.mark.parametrize(("hidden", "stays"), [(0, True), (17, True), (18, True), (19, False)])
def test_a_box_that_is_hidden_is_dropped(hidden: int, stays: bool) -> None:
    boxes = Boxes(torch.tensor([[2.0, 1, 6, 6]]), torch.tensor([1]), torch.tensor([7]))
    pasted = torch.zeros(2, 9, 9, dtype=torch.bool)
    places = [(i, j) for i in range(1, 6) for j in range(2, 6)]
    for i, j in places[:hidden]:
        pasted[1, i, j] = True
    pasted[1, 7:] = pasted[0] = True
    assert seen(boxes, torch.ones_like(pasted), ~pasted).tolist() == [stays]


def with_boxes(images: int, *boxes: tuple[float, ...]) -> Batch:
    """Black images of 16 x 16 pixels, each with all of these boxes of classes 1, 2, ..."""
    count = len(boxes)
    found = Boxes(
        torch.tensor(boxes, dtype=torch.float32).repeat(images, 1),
        torch.arange(images).repeat_interleave(count),
        torch.arange(1, count + 1).repeat(images),
    )
    batch = Batch(
        torch.zeros(images, 3, 16, 16), torch.zeros(images).long(), torch.arange(images), 0
    )
    return replace(batch, mask=torch.zeros(images, 16, 16).long(), boxes=found)


def test_an_object_of_which_nothing_is_known_brings_no_box() -> None:
    batch = with_boxes(40, (2, 2, 8, 8))
    batch.mask[:, 2:8, 2:8] = 255
    view = PASTE(batch, 1)
    assert_same(replace(view, boxes=None), replace(batch, boxes=None))
    assert listed(view.boxes) == listed(batch.boxes)


def test_an_object_that_is_hidden_by_its_like_loses_its_box() -> None:
    """However little of its box it fills."""
    batch = with_boxes(40, (2, 2, 8, 8))
    batch.mask[:, torch.arange(2, 8), torch.arange(2, 8)] = 1
    assert listed(PASTE(batch, 1).boxes) == listed(batch.boxes)


def test_what_lies_in_a_pasted_box_brings_its_box_too() -> None:
    batch = with_boxes(40, (0, 0, 12, 12), (4, 4, 7, 7))
    batch.mask[:, :12, :12] = 1
    batch.mask[:, 4:7, 4:7] = 2
    batch.mask[::2], batch.boxes = 0, batch.boxes.where(batch.boxes.image % 2 == 1)
    view = PASTE(batch, 1)
    for row in range(40):
        there = set(view.boxes.label[view.boxes.image == row].tolist())
        assert there == set(view.mask[row].unique().tolist()) - {0}


def test_an_image_is_not_pasted_into_itself() -> None:
    batch = with_boxes(1, (2, 2, 8, 8), (4, 4, 12, 12))
    for key in range(20):
        assert_same(PASTE(batch, key), batch)


def test_about_half_of_the_images_are_pasted_into() -> None:
    batch, _ = scene(200)
    same = (CopyPaste()(batch, 1).image == batch.image).flatten(1).all(1).double().mean()
    assert 0.5 < same < 0.75  # half are not chosen; of the others a quarter get nothing


def test_boxes_of_one_image_are_drawn_on_their_own() -> None:
    batch = rectangles(400)
    half = _half_of_boxes(1, batch.index, batch.boxes).view(400, 2).double()
    assert abs(half.mean() - 0.5) < 0.09  # 5 sigma
    assert abs(half.prod(1).mean() - 0.25) < 0.11
    backwards = batch.boxes.where(torch.arange(800).view(400, 2).flip(0).flatten())
    again = _half_of_boxes(1, batch.index, backwards).view(400, 2).flip(0)
    assert torch.equal(again.double(), half)  # images may come in any order


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"background": 256}, r"background must be in 0\.\.255, got 256"),
        ({"probability": 2}, r"probability must be in 0\.\.1, got 2"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CopyPaste(**arguments)
