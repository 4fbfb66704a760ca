import pytest
import torch

from distill import tasks
from distill.core.batch import Batch
from distill.data import TextLines, fonts
from distill.losses import ctc_loss
from distill.metrics import LineAccuracy, LineComparison

TASK = tasks.TextLines()


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> TextLines:
    """Ten digits, lines of at most 6 characters."""
    monkeypatch.setattr(fonts, "_SYSTEM", ())
    lines = TextLines(9, 9, 9)
    lines.setup("fit")
    return lines


def test_lines_are_scored_whole(data: TextLines) -> None:
    assert data.task.metric == "top1"
    assert isinstance(TASK.evaluation(data), LineAccuracy)
    assert isinstance(TASK.comparison(data, with_teacher=True), LineComparison)
    assert not TASK.keeps_predictions()


def test_the_loss_is_ctc() -> None:
    steps, line = torch.randn(3, 5, 4), torch.tensor([[1, 0], [2, 3], [0, 0]])
    batch = Batch(torch.zeros(3, 1, 2, 2), line, torch.arange(3), 0)
    assert torch.equal(TASK.label_loss(steps, batch), ctc_loss(steps, line))


def test_there_must_be_a_step_for_every_character_and_the_blanks_between(data: TextLines) -> None:
    TASK.check_outputs(torch.zeros(2, 11, 11), data)
    with pytest.raises(ValueError, match=r"^needs at least 11 steps t for lines of 6 characters"):
        TASK.check_outputs(torch.zeros(2, 10, 11), data)
    with pytest.raises(ValueError, match=r"^needs logits \(b, t, 11\), one per class"):
        TASK.check_outputs(torch.zeros(2, 11), data)


def test_a_caption_is_the_line() -> None:
    names = ["", *"0123456789"]
    assert TASK.caption(torch.tensor([10, 10, 1, 0]), names) == "990"


def test_rows_have_the_texts() -> None:
    steps = torch.nn.functional.one_hot(torch.tensor([[2, 2, 0, 2, 1], [0, 0, 0, 0, 0]]), 3).float()
    assert TASK.rows(steps, ("", "a", "b"), 5) == [{"text": "bba"}, {"text": ""}]
    images = torch.zeros(2, 1, 4, 12, dtype=torch.uint8)
    read, empty = TASK.pictures(images, steps, ("", "a", "b"))
    assert read.tobytes() != empty.tobytes()
    assert isinstance(TASK, tasks.Tells)
