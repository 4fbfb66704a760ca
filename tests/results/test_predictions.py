from pathlib import Path

import torch

from distill.results.predictions import PredictionRecorder, load_predictions

TARGET = torch.tensor([0, 1, 2, 0, 1])
INDEX = torch.tensor([10, 11, 12, 13, 14])
IMAGES = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 4, 4)


def logits(classes: list[int], confidence: list[float]) -> torch.Tensor:
    """Softmax probabilities: the given one for the class, the rest shared by the two others."""
    rows = torch.tensor([[(1 - p) / 2] * 3 for p in confidence])
    rows[torch.arange(len(classes)), torch.tensor(classes)] = torch.tensor(confidence)
    return rows.log()


STUDENT = logits([0, 2, 2, 1, 0], [0.9, 0.6, 0.5, 0.8, 0.7])
TEACHER = logits([0, 1, 0, 0, 0], [0.9] * 5)


def record(teacher: torch.Tensor | None, images: torch.Tensor = IMAGES) -> PredictionRecorder:
    recorder = PredictionRecorder()
    for rows in (slice(0, 2), slice(2, 5)):
        part = None if teacher is None else teacher[rows]
        recorder.update(images[rows], INDEX[rows], TARGET[rows], STUDENT[rows], part)
    return recorder


def test_images_are_those_of_disagreement_the_most_confident_first() -> None:
    found = record(TEACHER).compute()
    assert found.student.tolist() == [0, 2, 2, 1, 0]
    assert found.reference.tolist() == [0, 1, 0, 0, 0]
    assert found.index.tolist() == INDEX.tolist()
    assert found.shown.tolist() == [3, 1, 2]
    assert found.images[:, 0, 0, 0].tolist() == [3, 1, 2]
    assert torch.allclose(found.confidence, torch.tensor([0.9, 0.6, 0.5, 0.8, 0.7]))


def test_without_a_teacher_they_are_those_that_the_student_gets_wrong() -> None:
    found = record(None).compute()
    assert found.teacher is None
    assert found.shown.tolist() == [3, 4, 1]


def test_at_most_24_images_are_kept_whatever_the_batches() -> None:
    confidence = torch.linspace(0.5, 0.9, 60)[torch.randperm(60)]
    images = (confidence * 255).byte().view(60, 1, 1, 1)
    student, target = logits([1] * 60, confidence.tolist()), torch.zeros(60, dtype=torch.int64)
    for size in (60, 7):
        recorder = PredictionRecorder()
        for rows in torch.arange(60).split(size):
            recorder.update(images[rows], rows, target[rows], student[rows], None)
        found = recorder.compute()
        assert found.shown.tolist() == confidence.argsort(descending=True)[:24].tolist()
        assert found.images.flatten().tolist() == images[found.shown].flatten().tolist()


def test_large_images_are_made_smaller_in_proportion() -> None:
    images = torch.full((5, 3, 240, 192), 0.5)
    found = record(TEACHER, images).compute().images
    assert found.shape == (3, 3, 96, 76)
    assert set(found.unique().tolist()) <= {127, 128}


def test_where_all_agree_there_are_no_images() -> None:
    found = record(STUDENT).compute()
    assert found.images.shape == (0, 1, 4, 4)


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert load_predictions(tmp_path) is None
    for teacher in (TEACHER, None):
        written = record(teacher).compute()
        written.save(tmp_path)
        read = load_predictions(tmp_path)
        for name, value in vars(written).items():
            same = getattr(read, name)
            assert value is same is None or torch.equal(value, same), name
