import torch
import torch.nn.functional as F
from torchmetrics.classification import MulticlassAccuracy

from distill.data import Digits, TextLines, fonts
from distill.losses import ctc_loss
from distill.metrics import LineAccuracy
from distill.modules.scoring import accuracy_on, label_loss


def test_images_are_scored_by_class_and_lines_whole(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(fonts, "_SYSTEM", ())
    for data, kind in ((Digits(), MulticlassAccuracy), (TextLines(9, 9, 9), LineAccuracy)):
        data.setup("fit")
        assert isinstance(accuracy_on(data), kind)


def test_the_loss_is_that_of_the_target() -> None:
    logits, target = torch.randn(3, 5), torch.tensor([0, 4, 2])
    assert torch.equal(label_loss(logits, target), F.cross_entropy(logits, target))
    steps, line = torch.randn(3, 5, 4), torch.tensor([[1, 0], [2, 3], [0, 0]])
    assert torch.equal(label_loss(steps, line), ctc_loss(steps, line))
