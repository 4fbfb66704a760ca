import pytest
import torch
import torch.nn.functional as F
from torchmetrics.classification import MulticlassAccuracy

from distill.core.batch import Batch
from distill.data import Digits
from distill.metrics import AgreementMetrics
from distill.tasks import Classification, Tells

TASK = Classification()


def test_it_is_what_data_are_unless_they_say_otherwise() -> None:
    assert isinstance(Digits().task, Classification)
    assert (TASK.metric, TASK.goal) == ("top1", "maximize")


def test_images_are_scored_by_class() -> None:
    assert isinstance(TASK.evaluation(Digits()), MulticlassAccuracy)
    assert isinstance(TASK.comparison(Digits(), with_teacher=True), AgreementMetrics)


def test_the_loss_is_cross_entropy_also_of_outputs_by_name() -> None:
    logits, target = torch.randn(3, 5), torch.tensor([0, 4, 2])
    batch = Batch(torch.zeros(3, 1, 2, 2), target, torch.arange(3), 0)
    expected = F.cross_entropy(logits, target)
    assert torch.equal(TASK.label_loss(logits, batch), expected)
    assert torch.equal(TASK.label_loss({"logits": logits, "maps": logits}, batch), expected)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.zeros(2, 7), r"^needs logits \(b, 10\), one per class of the data, gives \(2, 7\)$"),
        (torch.zeros(2, 3, 10), r"^needs logits \(b, 10\).*gives \(2, 3, 10\)$"),
        (
            (torch.zeros(2, 10), torch.zeros(2, 10)),
            r"^needs one tensor of logits, gives a tuple with 0, 1$",
        ),
        ("text", r"^gives a str, not a tensor or tensors by name$"),
    ],
)
def test_outputs_that_do_not_fit_are_told(outputs: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASK.check_outputs(outputs, Digits())


def test_captions_are_class_names_or_shares() -> None:
    names = ("cat", "dog")
    assert TASK.caption(torch.tensor(1), names) == "dog"
    assert TASK.caption(torch.tensor(1), ()) == "1"
    assert TASK.caption(torch.tensor(-100), names) == "no label"
    assert TASK.caption(torch.tensor([0.75, 0.25]), names) == "cat (0.75) + dog (0.25)"


def test_rows_have_the_most_probable_classes_first() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    shares = logits.double().exp() / logits.double().exp().sum(1, keepdim=True)
    rows = TASK.rows({"logits": logits}, ("cat", "dog", "cow"), 2)
    assert [list(row) for row in rows] == [["class", "probability", "class_2", "probability_2"]] * 2
    assert [row["class"] for row in rows] == ["dog", "cat"]
    assert rows[0]["class_2"] == "cow"
    assert rows[0]["probability"] == pytest.approx(shares[0, 1].item())
    assert rows[0]["probability_2"] == pytest.approx(shares[0, 2].item())
    assert len(TASK.rows(logits, ("cat", "dog", "cow"), 9)[0]) == 6


def test_a_picture_for_each_image() -> None:
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    pictures = TASK.pictures(images, torch.eye(2), ("cat", "dog"))
    assert len(pictures) == 2
    assert pictures[0].tobytes() != pictures[1].tobytes()  # another caption
    assert isinstance(TASK, Tells)
