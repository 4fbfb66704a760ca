"""Boxes of classes in each image, found at points by a detector without anchors."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from PIL.Image import Image
from torch import Tensor
from torchmetrics import Metric
from torchvision.ops import batched_nms, sigmoid_focal_loss

from distill.core.batch import Batch, Boxes
from distill.core.outputs import Outputs, by_name
from distill.losses import giou_loss
from distill.metrics.detection import BoxComparison, BoxFigures
from distill.tasks.assign import IGNORED_POINT, assign, distances, valuable
from distill.tasks.task import ImageData
from distill.tasks.tells import Row, drawn
from distill.wiring.gather import mean_over_processes

POSITIVE, VALUABLE = "positive", "valuable"
_SIDES, _SURE = ("left", "top", "right", "bottom"), 0.3
_CLASSES, _BOXES, _EDGES, _COUNT = (f"assigned.{n}" for n in ("classes", "boxes", "edges", "count"))


@runtime_checkable
class LargestBox(Protocol):
    """Data that know how far their boxes reach."""

    def largest_box(self) -> float:
        """The longest side of a training box, in pixels."""


class Detection:
    """Images with boxes. Networks give tensors of n points by name, those that ``outputs`` lists.

    The headline is ``map``, COCO's mean average precision, in percent; beside it ``map50`` and
    ``map75``. Each of the n points of a detector answers for at most one box, see
    :func:`distill.tasks.assign.assign`. Terms may read, beside what networks give:

    - ``batch.boxes``: (m, 5), the row in the batch and the left, top, right and bottom edge as
      shares of the image; without those that are ignored.
    - ``assigned.classes``: (b, n), -1 where there is no box, -100 where it is ignored.
    - ``assigned.boxes``: (b, n, 4), in pixels, and ``assigned.edges``: (b, n, 4), the distances to
      its edges in strides; of use at ``[positive]`` points alone.
    - ``assigned.count``: the number of positive points, at least 1; the mean over processes.

    Regions: ``positive``, points that have a box; ``valuable``, points beside one.
    """

    metric = "map"
    goal: Literal["maximize", "minimize"] = "maximize"
    outputs: tuple[str, ...] = ("classes", "scores", "edges", "boxes", "points")
    sources: Mapping[str, str] = {"batch.index": "index"}
    made: tuple[str, ...] = ("batch.boxes", _CLASSES, _BOXES, _EDGES, _COUNT)
    regions: tuple[str, ...] = (POSITIVE, VALUABLE)
    pipeline_tag = "object-detection"
    exported: tuple[str, ...] = ("scores", "boxes")
    numpy_code = """\
best = scores.max(1)
for n in best.argsort()[::-1][:100]:
    if best[n] > 0.3:  # boxes of one object: keep the best of those that overlap (NMS)
        print(f"{best[n]:.4f}  {classes[scores[n].argmax()]}  {boxes[n].round(1).tolist()}")"""

    def check_outputs(self, outputs: Outputs, data: ImageData) -> None:
        """Check that there are classes and boxes at points.

        Raises:
            ValueError: If there are not, they are of other classes, or the data have no boxes or
                larger ones than its bins reach.
        """
        if data.example(1).boxes is None:
            raise ValueError("needs boxes, the data have none: a detector learns from boxes")
        found = by_name(outputs)
        if missing := [name for name in self.outputs if name not in found]:
            gives = f"gives {', '.join(found)}" if found else "gives nothing"
            raise ValueError(
                f"needs the outputs {', '.join(self.outputs)}, {gives}; no {missing[0]}"
            )
        classes = found["classes"].shape[-1]
        if classes != len(data.classes):
            raise ValueError(f"needs {len(data.classes)} classes, those of the data, has {classes}")
        reach = float((found["edges"].shape[-1] - 1) * found["points"][:, 2].max())
        if isinstance(data, LargestBox) and data.largest_box() > reach:
            side = f"a box of the data is {data.largest_box():.0f} pixels long"
            raise ValueError(f"reaches {reach:.0f} pixels, {side}: give more bins or strides")

    def evaluation(self, data: ImageData) -> Metric:
        """COCO's mean average precision."""
        return BoxFigures()

    def predicted(self, outputs: Outputs) -> list[dict[str, Tensor]]:
        """What is found in each image, see :func:`detections`."""
        return detections(outputs)

    def target(self, batch: Batch) -> list[dict[str, Tensor]]:
        """The boxes of each image, those that are ignored as crowds."""
        boxes = _boxes(batch)
        of_image = [boxes.where(boxes.image == row) for row in range(len(batch.image))]
        return [
            {"boxes": one.xyxy, "labels": one.label, "iscrowd": one.ignored.long()}
            for one in of_image
        ]

    def label_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Sigmoid focal loss of all points, and GIoU loss of positive ones."""
        found = by_name(outputs)
        made = self.make(batch, {"student": outputs}, (_CLASSES, _BOXES, _COUNT, POSITIVE))
        wanted = one_hot(made[_CLASSES], found["classes"].shape[-1])
        focal = sigmoid_focal_loss(found["classes"].float(), wanted, gamma=2)
        focal = focal * (made[_CLASSES] != IGNORED_POINT)[..., None]
        boxes = giou_loss(found["boxes"][made[POSITIVE]].float(), made[_BOXES][made[POSITIVE]])
        total: Tensor = focal.sum() / made[_COUNT] + boxes
        return total

    def comparison(self, data: ImageData, with_teacher: bool) -> BoxComparison:
        """The student against what the teacher is sure of."""
        return BoxComparison(with_teacher)

    def keeps_predictions(self) -> bool:
        """An image has no one class."""
        return False

    def caption(self, target: Tensor, classes: Sequence[str]) -> str:
        """Nothing: an image has no one class."""
        return ""

    def rows(self, outputs: Outputs, classes: Sequence[str], most: int) -> list[Row]:
        """The boxes of a score above 0.3, in pixels of the network's input, the best first."""
        rows: list[Row] = []
        for one in detections(outputs, least=_SURE):
            row: Row = {"classes": [classes[k] for k in one["labels"].tolist()]}
            row["scores"] = one["scores"].tolist()
            row |= {side: one["boxes"][:, at].tolist() for at, side in enumerate(_SIDES)}
            rows.append(row)
        return rows

    def pictures(self, images: Tensor, outputs: Outputs, classes: Sequence[str]) -> list[Image]:
        """Images with the same boxes."""
        found = detections(outputs, least=_SURE)
        rows = torch.cat([torch.full_like(one["labels"], row) for row, one in enumerate(found)])
        xyxy, labels = (torch.cat([one[name] for one in found]) for name in ("boxes", "labels"))
        return drawn(images.cpu(), boxes=Boxes(xyxy.cpu(), rows.cpu(), labels.cpu()))

    def make(
        self, batch: Batch, outputs: Mapping[str, Outputs], wanted: Collection[str]
    ) -> dict[str, Tensor]:
        """What points answer for; all networks have the same points."""
        boxes = _boxes(batch)
        height, width = batch.image.shape[-2:]
        found = {"batch.boxes": _shares(boxes.where(~boxes.ignored), height, width)}
        if set(wanted) <= set(found):
            return found
        points = next(given["points"] for given in map(by_name, outputs.values()))
        owner = assign(points, boxes, len(batch.image))
        positive = owner >= 0
        found[POSITIVE] = positive
        found[_COUNT] = mean_over_processes(positive.sum().float()).clamp_min(1)
        own = owner.clamp_min(0)
        if len(boxes.label) == 0:
            xyxy = boxes.xyxy.new_zeros((*owner.shape, 4))
            found |= {_CLASSES: owner, _BOXES: xyxy, _EDGES: xyxy}
        else:
            xyxy = boxes.xyxy[own].float()
            places = points.expand(len(owner), -1, -1).flatten(0, 1)
            edges = distances(places, xyxy.flatten(0, 1)).view_as(xyxy)
            classes = torch.where(positive, boxes.label[own], owner)
            found |= {_CLASSES: classes, _BOXES: xyxy, _EDGES: edges}
        if VALUABLE in wanted:
            found[VALUABLE] = valuable(points, boxes, owner)
        return found

    def rows_at(self, value: Tensor, region: Tensor) -> Tensor:
        """The rows (m, ...) of a tensor (b, n, ...) at those points.

        Raises:
            ValueError: If it has other points.
        """
        if value.shape[:2] != region.shape:
            places = f"points {tuple(region.shape)} and a tensor {tuple(value.shape)}"
            raise ValueError(f"{places} have no rows in common: only tensors (b, n, ...) have")
        return value[region]


def detections(
    outputs: Outputs, least: float = 0.05, overlap: float = 0.6, most: int = 100
) -> list[dict[str, Tensor]]:
    """The boxes that a detector finds in each image, without those that repeat a better one.

    Args:
        outputs: ``scores`` (b, n, k) and ``boxes`` (b, n, 4), in pixels.
        least: The lowest score.
        overlap: Of two boxes of one class whose intersection over union is above it, the one of
            the lower score is dropped.
        most: Boxes of an image at most, those of the highest scores.

    Returns:
        For each image ``boxes`` (m, 4), ``scores`` (m,) and ``labels`` (m,), the best first.

    Examples:
        >>> boxes = torch.tensor([[[0.0, 0, 9, 9], [0, 0, 9, 8]]])
        >>> found = detections({"scores": torch.tensor([[[0.9], [0.8]]]), "boxes": boxes})
        >>> found[0]["labels"], [round(score, 2) for score in found[0]["scores"].tolist()]
        (tensor([0]), [0.9])
    """
    given = by_name(outputs)
    found = []
    for scores, boxes in zip(given["scores"].float(), given["boxes"].float(), strict=True):
        point, label = (scores > least).nonzero().unbind(1)
        score = scores[point, label]
        best = score.argsort(descending=True, stable=True)[: 10 * most]
        point, label, score = point[best], label[best], score[best]
        kept = batched_nms(boxes[point], score, label, overlap)[:most]
        found.append({"boxes": boxes[point[kept]], "scores": score[kept], "labels": label[kept]})
    return found


def one_hot(classes: Tensor, count: int) -> Tensor:
    """Class numbers (...,) as (..., k), float32; zeros for the ground and what is ignored."""
    numbers = torch.arange(count, device=classes.device)
    return (classes[..., None] == numbers).float()


def _shares(boxes: Boxes, height: int, width: int) -> Tensor:
    edges = boxes.xyxy.float() / boxes.xyxy.new_tensor([width, height, width, height]).float()
    return torch.cat([boxes.image[:, None].float(), edges], 1)


def _boxes(batch: Batch) -> Boxes:
    if batch.boxes is None:
        raise ValueError("needs boxes, the data have none")
    return batch.boxes
