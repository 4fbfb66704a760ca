"""Average precision of boxes as COCOeval computes it, by torchmetrics and faster-coco-eval."""

import importlib.util
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn
from torchmetrics.detection import MeanAveragePrecision

from distill.core.errors import RecipeError

Found = Mapping[str, Tensor]
"""Of one image: ``boxes`` (m, 4), ``labels`` (m,), and ``scores`` (m,) or ``iscrowd`` (m,)."""

_FIGURES = {"map": "map", "map50": "map_50", "map75": "map_75"}
_AT_LEAST = 0.3


class BoxFigures(MeanAveragePrecision):
    """``map``, ``map50`` and ``map75`` of a set of images, in 0..1.

    Thresholds of overlap and recall are those of COCOeval to the last bit: torchmetrics' own are
    float32, and the figures then up to 6e-4 lower.

    Raises:
        RecipeError: If faster-coco-eval is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("faster_coco_eval") is None:
            raise RecipeError("data", "boxes need faster-coco-eval: pip install 'distill[dense]'")
        super().__init__(
            iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
            rec_thresholds=np.linspace(0.0, 1.0, 101).tolist(),
            max_detection_thresholds=[1, 10, 100],
            backend="faster_coco_eval",
        )
        self.warn_on_many_detections = False

    def compute(self) -> dict[str, Tensor]:
        """The figures; 0 where no image has a box."""
        found = super().compute()
        return {name: found[theirs].clamp_min(0) for name, theirs in _FIGURES.items()}


class BoxComparison(nn.Module):
    """Sets the boxes that a student finds beside those of its teacher.

    Args:
        with_teacher: Whether there is a teacher.
    """

    def __init__(self, with_teacher: bool) -> None:
        super().__init__()
        self._figures = BoxFigures() if with_teacher else None

    def update(
        self, student: Sequence[Found], teacher: Sequence[Found] | None, target: Sequence[Found]
    ) -> None:
        """Add a batch: what both found, and the labels."""
        if self._figures is None or teacher is None:
            return
        sure = [
            {name: of[name][of["scores"] > _AT_LEAST] for name in ("boxes", "labels")}
            for of in teacher
        ]
        self._figures.update([dict(of) for of in student], sure)

    def compute(self) -> dict[str, float]:
        """``map50_of_teacher``: the student's against the teacher's boxes of a score above 0.3."""
        if self._figures is None:
            return {}
        return {"map50_of_teacher": 100 * self._figures.compute()["map50"].item()}
