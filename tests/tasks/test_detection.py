"""The task of detectors: forms, assigned labels, losses, what is found."""

from types import SimpleNamespace

import pytest
import torch
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

import students
from distill.core.batch import Batch, Boxes
from distill.tasks import Detection, detections
from distill.tasks.assign import assign, valuable

TASK = Detection()
NETWORK = students.detector("resnet8", num_classes=10, in_channels=1).eval()


def labelled(boxes: Boxes | None, n: int = 2) -> Batch:
    image = torch.rand(n, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    return Batch(image, torch.full((n,), -100), torch.arange(n), 0, boxes=boxes)


def two_boxes() -> Boxes:
    edges = torch.tensor([[4.0, 6, 22, 30], [20, 20, 41, 43], [0, 0, 9, 9]])
    ignored = torch.tensor([False, False, True])
    return Boxes(edges, torch.tensor([0, 1, 1]), torch.tensor([3, 7, 1]), ignored)


def outputs(batch: Batch) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return NETWORK(batch.image)


def data(boxes: Boxes | None, classes: int = 10, largest: float = 30.0) -> SimpleNamespace:
    return SimpleNamespace(
        classes=tuple(map(str, range(classes))),
        example=lambda n: labelled(boxes),
        largest_box=lambda: largest,
    )


def test_what_a_network_must_give() -> None:
    batch = labelled(two_boxes())
    found = outputs(batch)
    TASK.check_outputs(found, data(two_boxes()))
    with pytest.raises(ValueError, match=r"^needs boxes, the data have none"):
        TASK.check_outputs(found, data(None))
    with pytest.raises(ValueError, match=r"^needs 4 classes, those of the data, has 10$"):
        TASK.check_outputs(found, data(two_boxes(), classes=4))
    with pytest.raises(ValueError, match=r"^needs the outputs .*, gives logits; no classes$"):
        TASK.check_outputs(torch.zeros(2, 10), data(two_boxes()))
    with pytest.raises(ValueError, match=r"^reaches 56 pixels, a box of the data is 80 pixels"):
        TASK.check_outputs(found, data(two_boxes(), largest=80))


def test_what_points_answer_for() -> None:
    batch = labelled(two_boxes())
    points = outputs(batch)["points"]
    made = TASK.make(batch, {"student": outputs(batch)}, [*TASK.made, *TASK.regions])
    owner = assign(points, two_boxes(), 2)
    positive = owner >= 0
    assert torch.equal(made["positive"], positive)
    assert made["assigned.count"].item() == positive.sum()
    assert set(made["assigned.classes"][0][positive[0]].tolist()) == {3}
    assert set(made["assigned.classes"][1].tolist()) == {7, -1, -100}
    assert torch.equal(made["valuable"], valuable(points, two_boxes(), owner))
    x, y, stride = points[positive[0]].unbind(1)
    left, top, right, bottom = made["assigned.edges"][0][positive[0]].unbind(1)
    expected = torch.tensor([4.0, 6, 22, 30]).expand(len(x), 4)
    around = [x - left * stride, y - top * stride, x + right * stride, y + bottom * stride]
    assert torch.allclose(torch.stack(around, 1), expected, atol=1e-4)
    assert torch.equal(made["assigned.boxes"][0][positive[0]], expected)
    assert made["batch.boxes"].tolist()[0] == pytest.approx([0, 4 / 48, 6 / 48, 22 / 48, 30 / 48])
    assert len(made["batch.boxes"]) == 2


def test_shares_of_boxes_need_no_network() -> None:
    assert list(TASK.make(labelled(two_boxes()), {}, ["batch.boxes"])) == ["batch.boxes"]


def test_a_batch_without_boxes_has_no_positive_point() -> None:
    none = Boxes(torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(0).long())
    batch = labelled(none)
    made = TASK.make(batch, {"student": outputs(batch)}, [*TASK.made, *TASK.regions])
    assert not made["positive"].any()
    assert not made["valuable"].any()
    assert made["assigned.count"].item() == 1
    assert made["assigned.boxes"].shape == (2, 180, 4)
    assert TASK.label_loss(outputs(batch), batch).isfinite()


def test_the_loss_on_labels_is_that_of_torchvision() -> None:
    batch = labelled(two_boxes())
    found = outputs(batch)
    made = TASK.make(batch, {"student": found}, TASK.made)
    classes = made["assigned.classes"]
    wanted = torch.zeros(2, 180, 10)
    for image in range(2):
        for place, number in enumerate(classes[image].tolist()):
            if number >= 0:
                wanted[image, place, number] = 1
    known = classes != -100
    focal = sigmoid_focal_loss(found["classes"][known], wanted[known], reduction="sum")
    positive = classes >= 0
    boxes = generalized_box_iou_loss(
        found["boxes"][positive], made["assigned.boxes"][positive], reduction="mean"
    )
    expected = focal / positive.sum() + boxes
    assert TASK.label_loss(found, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_labels_of_figures_are_the_boxes_of_each_image() -> None:
    first, second = TASK.target(labelled(two_boxes()))
    assert first["labels"].tolist() == [3]
    assert second["iscrowd"].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"^needs boxes, the data have none$"):
        TASK.target(labelled(None))


def test_found_boxes_are_the_best_of_those_that_repeat_each_other() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40], [0, 0, 9, 10]]])
    scores = torch.tensor([[[0.5, 0.0], [0.8, 0.0], [0.3, 0.04], [0.0, 0.7]]])
    (found,) = detections({"scores": scores, "boxes": boxes})
    assert found["labels"].tolist() == [0, 1, 0]
    assert found["scores"].tolist() == pytest.approx([0.8, 0.7, 0.3])
    assert found["boxes"][0].tolist() == [1, 0, 11, 10]
    (few,) = detections({"scores": scores, "boxes": boxes}, most=1)
    assert few["labels"].tolist() == [0]
