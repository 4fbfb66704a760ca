"""Average precision against COCOeval itself."""

import contextlib
import io

import numpy as np
import pytest
import torch

from distill.metrics.detection import BoxComparison, BoxFigures

pytest.importorskip("faster_coco_eval", reason="needs the extra dense")


def random_set(rng: np.random.Generator) -> tuple[list[dict], list[dict]]:
    """Found and true boxes of a few images: crowds, empty images, ties, many detections."""
    found, true = [], []
    for _ in range(rng.integers(1, 5)):
        m = int(rng.integers(0, 6))
        corner = rng.uniform(0, 60, (m, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(4, 40, (m, 2))], 1)
        labels = rng.integers(0, 3, m)
        true.append(
            {"boxes": boxes, "labels": labels, "iscrowd": (rng.random(m) < 0.2).astype(int)}
        )
        n = int(rng.choice([0, 3, 12, 130]))
        near = boxes[rng.integers(0, m, n)] if m else rng.uniform(0, 60, (n, 4))
        moved = near + rng.normal(0, rng.choice([0.5, 3, 8]), (n, 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        scores = rng.choice([0.1, 0.5, 0.9], n) if rng.random() < 0.3 else rng.random(n)
        own = labels[rng.integers(0, m, n)] if m else rng.integers(0, 3, n)
        found.append({"boxes": moved, "scores": scores, "labels": own})
    return found, true


def as_tensors(sets: list[dict]) -> list[dict[str, torch.Tensor]]:
    kinds = {"boxes": torch.float32, "scores": torch.float32}
    return [
        {
            name: torch.as_tensor(value).to(kinds.get(name, torch.int64))
            for name, value in of.items()
        }
        for of in sets
    ]


def coco_eval(found: list[dict], true: list[dict]) -> list[float]:
    """mAP, at 0.5 and at 0.75, by pycocotools; annotations are numbered from 1."""
    coco = pytest.importorskip("pycocotools.coco", reason="the oracle is pycocotools")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    annotations, results = [], []
    for image, (said, known) in enumerate(zip(found, true, strict=True)):
        for box, label, crowd in zip(
            known["boxes"], known["labels"], known["iscrowd"], strict=True
        ):
            x, y, right, bottom = np.float32(box).tolist()
            side = [x, y, right - x, bottom - y]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": int(label)}
                | {"bbox": side, "area": side[2] * side[3], "iscrowd": int(crowd)}
            )
        for box, score, label in zip(said["boxes"], said["scores"], said["labels"], strict=True):
            x, y, right, bottom = np.float32(box).tolist()
            results.append(
                {"image_id": image, "category_id": int(label), "score": float(np.float32(score))}
                | {"bbox": [x, y, right - x, bottom - y]}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(true))],
            "annotations": annotations,
            "categories": [{"id": i} for i in range(3)],
        }
        truth.createIndex()
        if not results or not annotations:
            return [0.0, 0.0, 0.0]
        run = evaluation.COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [max(float(value), 0.0) for value in run.stats[:3]]


def largest_gap(sets: int) -> float:
    worst = 0.0
    for seed in range(sets):
        found, true = random_set(np.random.default_rng(seed))
        figures = BoxFigures()
        figures.update(as_tensors(found), as_tensors(true))
        ours = figures.compute()
        expected = coco_eval(found, true)
        for name, value in zip(("map", "map50", "map75"), expected, strict=True):
            worst = max(worst, abs(ours[name].item() - value))
    return worst


def test_equals_cocoeval() -> None:
    assert largest_gap(sets=6) < 1e-6


@pytest.mark.slow
def test_equals_cocoeval_on_200_sets() -> None:
    assert largest_gap(sets=200) < 1e-6


def test_a_set_without_boxes_has_a_figure_of_0() -> None:
    figures = BoxFigures()
    none = torch.zeros(0)
    figures.update(
        [{"boxes": torch.zeros(0, 4), "scores": none, "labels": none.long()}],
        [{"boxes": torch.zeros(0, 4), "labels": none.long(), "iscrowd": none.long()}],
    )
    assert [value.item() for value in figures.compute().values()] == [0, 0, 0]


def test_a_student_is_compared_with_what_the_teacher_is_sure_of() -> None:
    box = torch.tensor([[0.0, 0, 9, 9], [20, 20, 40, 40]])
    student = [{"boxes": box[:1], "scores": torch.tensor([0.6]), "labels": torch.tensor([1])}]
    teacher = [{"boxes": box, "scores": torch.tensor([0.9, 0.2]), "labels": torch.tensor([1, 1])}]
    found = BoxComparison(with_teacher=True)
    found.update(student, teacher, [])
    assert found.compute() == {"map50_of_teacher": pytest.approx(100)}
    assert BoxComparison(with_teacher=False).compute() == {}
