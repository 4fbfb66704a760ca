import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.losses import CRDLoss, crd_loss
from distill.losses.checks import SizedByData
from tests.losses.contract import Inputs, LossContract

ROWS, TWO = torch.ones(2, 4), torch.tensor([0, 1])


class Frozen(nn.Module):
    """With known banks, in evaluation mode: draws alike, remembers nothing."""

    def __init__(self, loss: CRDLoss) -> None:
        super().__init__()
        loss.log_normalisers.fill_(math.log(50))
        self.loss = loss.eval()

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor, index: Tensor) -> Tensor:
        torch.manual_seed(0)
        return self.loss(student, teacher, target, index)


def embedded(layer: nn.Linear, features: np.ndarray) -> np.ndarray:
    flat = features.reshape(len(features), -1)
    rows = flat @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    return rows / np.sqrt((rows**2).sum(1, keepdims=True))


class TestCRDLoss(LossContract):
    """Two images of two classes: the one is the other's only possible negative."""

    shape = (2, 4)
    teacher_shape = (3, 2)
    zero_when_equal = False  # the contrast has a floor
    refusals = {
        "n_samples": (lambda: CRDLoss(4, 4, 0), "n_samples must be at least 1"),
        "dim": (lambda: CRDLoss(0, 4, 9), "student_dim must be at least 1"),
        "momentum": (lambda: CRDLoss(4, 4, 9, momentum=1.5), r"momentum must be in 0\.\.1"),
        "temperature": (lambda: CRDLoss(4, 4, 9, temperature=0), "temperature must be positive"),
        "index": (
            lambda: CRDLoss(4, 4, 9)(ROWS, ROWS, TWO, TWO + 8),
            r"index needs numbers below n_samples 9, got 8\.\.9",
        ),
        "negative index": (
            lambda: CRDLoss(4, 4, 9)(ROWS, ROWS, TWO, TWO - 1),
            r"index needs numbers below n_samples 9, got -1\.\.0",
        ),
        "negatives": (lambda: CRDLoss(4, 4, 9, n_negatives=0), "n_negatives must be at least 1"),
        "targets": (
            lambda: CRDLoss(4, 4, 9)(ROWS, ROWS, TWO[:1], TWO),
            r"target needs one int64 per image, \(2,\), got \(1,\) torch.int64",
        ),
        "no label": (lambda: CRDLoss(4, 4, 9)(ROWS, ROWS, TWO - 1, TWO), "numbers, got -1"),
        "floats": (lambda: CRDLoss(4, 4, 9)(ROWS, ROWS, TWO, TWO.float()), "index needs one int64"),
        "shares": (lambda: crd_loss(ROWS, ROWS, 9), r"shapes \(b,\) and \(b, n\)"),
        "no negatives": (lambda: crd_loss(ROWS[:, 0], ROWS[:, :0], 9), r"\(2,\) and \(2, 0\)"),
    }

    def make(self) -> nn.Module:
        return Frozen(CRDLoss(4, 6, n_samples=80, feature_dim=3, n_negatives=5, temperature=0.5))

    def inputs(self, seed: int = 0, shape: tuple[int, ...] | None = None) -> Inputs:
        found = super().inputs(seed, shape)
        numbers = torch.arange(len(found["student"]))
        return found | {"target": numbers % 2, "index": numbers + 7}

    def oracle(
        self,
        loss: nn.Module,
        student: np.ndarray,
        teacher: np.ndarray,
        target: np.ndarray,
        index: np.ndarray,
    ) -> float:
        return sum(
            contrast(products, math.log(50))
            for products in directions(loss.loss, student, teacher, index)
        )

    def test_the_first_step_of_training_sets_the_normalisers(self) -> None:
        """To the mean over matches and negatives, times the number of images."""
        inputs, loss = self.inputs(), self.loss().loss.train()
        arrays = {name: inputs[name].numpy() for name in ("student", "teacher", "index")}
        expected, normalisers = 0.0, []
        for products in directions(loss, **arrays):
            size = np.mean([math.exp(x) for row in products for x in (row[0], *[row[1]] * 5)])
            normalisers.append(math.log(80 * size))
            expected += contrast(products, normalisers[-1])
        loss.log_normalisers.zero_()
        assert loss(**inputs).item() == pytest.approx(expected, rel=1e-6)
        assert loss.log_normalisers.tolist() == pytest.approx(normalisers, rel=1e-9)
        loss(**self.inputs(1))
        assert loss.log_normalisers.tolist() == pytest.approx(normalisers, rel=1e-9)

    @pytest.mark.parametrize("temperature", [1e-6, 1e6])
    def test_no_temperature_is_too_extreme(self, temperature: float) -> None:
        loss = CRDLoss(4, 6, n_samples=20, n_negatives=5, temperature=temperature)
        fed = self.fed(self.inputs(), torch.float32)
        value = loss(**fed)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(fed["student"].grad).all()


def directions(
    crd: CRDLoss, student: np.ndarray, teacher: np.ndarray, index: np.ndarray
) -> list[list[tuple[float, float]]]:
    """For both directions and both images: scores of the match and of the negative."""
    found = []
    for layer, features, bank in (
        (crd.student_embedding, student, crd.teacher_bank.numpy().copy()),
        (crd.teacher_embedding, teacher, crd.student_bank.numpy().copy()),
    ):
        rows = embedded(layer, features)
        found.append(
            [(rows[i] @ bank[index[i]] / 0.5, rows[i] @ bank[index[1 - i]] / 0.5) for i in (0, 1)]
        )
    return found


def contrast(products: list[tuple[float, float]], log_normaliser: float) -> float:
    """Of one direction, with five negatives of 80 images."""
    noise, total = 5 / 80, 0.0
    for match, other in products:
        matched = math.exp(match - log_normaliser)
        wrong = math.exp(other - log_normaliser)
        total -= math.log(matched / (matched + noise + 1e-7))
        total -= 5 * math.log(noise / (wrong + noise + 1e-7))
    return total / len(products)


def trained(n: int = 30, negatives: int = 200) -> CRDLoss:
    """Has seen n images of three classes."""
    torch.manual_seed(0)
    loss = CRDLoss(4, 4, n_samples=n, feature_dim=8, n_negatives=negatives)
    index = torch.arange(n)
    loss(torch.randn(n, 4), torch.randn(n, 4), index % 3, index)
    return loss


@pytest.mark.parametrize("negatives", [1, 100, 16384])
def test_shares_of_one_in_n_give_the_closed_form(negatives: int) -> None:
    share = torch.full((3, negatives), 1 / 50000, dtype=torch.float64).log()
    found = crd_loss(share[:, 0], share, 50000).item()
    total = 1 + negatives + 50000 * 1e-7  # the authors' epsilon counts too
    expected = math.log(total) + negatives * math.log(total / negatives)
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_first_loss_is_about_that_of_equal_shares() -> None:
    """The authors' case gives 21.408; products of random embeddings are small next to 1."""
    torch.manual_seed(0)
    loss = CRDLoss(16, 16, n_samples=2000, n_negatives=16384, temperature=1.0)
    index = torch.arange(64)
    value = loss(torch.randn(64, 16), torch.randn(64, 16), index % 10, index).item()
    assert value == pytest.approx(21.408, rel=0.01)


@pytest.mark.parametrize("training", [True, False])
def test_negatives_are_seen_images_of_other_classes(training: bool) -> None:
    """In evaluation, of the batch; each is drawn about as often as any other."""
    loss, index = trained(negatives=3000).train(training), torch.tensor([0, 4, 8, 3, 10, 6])
    pool = range(30) if training else index.tolist()
    others = loss._negatives(index % 3, index)
    assert others.shape == (6, 3000)
    for row, image in zip(others, index.tolist(), strict=True):
        counts = torch.bincount(row, minlength=30)
        expected = [other for other in pool if other % 3 != image % 3]
        assert counts.nonzero().flatten().tolist() == sorted(expected)
        # Five standard deviations of a binomial count.
        share = 3000 / len(expected)
        assert (counts[expected] - share).abs().max() < 5 * share**0.5


def test_data_of_more_images_are_refused_beforehand() -> None:
    loss = CRDLoss(4, 4, n_samples=9)
    assert isinstance(loss, SizedByData)
    loss.check_data(classes=100, samples=9)
    message = "^n_samples must be at least 10, the images of the data source, got 9$"
    with pytest.raises(ValueError, match=message):
        loss.check_data(classes=1, samples=10)


@pytest.mark.parametrize("dim", [3, 128])
def test_banks_start_with_rows_of_about_length_one(dim: int) -> None:
    """Uniform in +-sqrt(3 / d), whose squares have the mean 1 / d."""
    loss = CRDLoss(4, 4, n_samples=4000, feature_dim=dim)
    for bank in (loss.student_bank, loss.teacher_bank):
        assert bank.abs().max() <= math.sqrt(3 / dim)
        assert bank.abs().max() > 0.99 * math.sqrt(3 / dim)
        assert bank.square().sum(1).mean().item() == pytest.approx(1, rel=0.03)
        assert bank.mean().abs() < 0.03


def test_images_that_were_not_seen_are_no_negatives() -> None:
    loss = CRDLoss(4, 4, n_samples=50, n_negatives=500)
    for images in (range(10, 16), range(30, 36)):
        index = torch.tensor(images)
        others = loss._negatives(index % 2, index)
        loss(torch.randn(6, 4), torch.randn(6, 4), index % 2, index)
    assert set(others.flatten().tolist()) == {*range(10, 16), *range(30, 36)}


def test_negatives_come_from_the_global_generator() -> None:
    """The module reseeds it for each step."""
    loss, index, drawn = trained(), torch.tensor([0, 4]), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(loss._negatives(index % 3, index))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_one_class_alone_is_compared_with_itself() -> None:
    loss = CRDLoss(4, 4, n_samples=5, n_negatives=3)
    index = torch.arange(2)
    assert torch.isfinite(loss(torch.randn(2, 4), torch.randn(2, 4), index * 0, index))


def test_banks_remember_what_was_seen_and_nothing_else() -> None:
    loss = trained(n=10)
    loss.momentum = 0.8
    before = loss.teacher_bank.clone()
    teacher, index = torch.randn(2, 4), torch.tensor([3, 5])
    loss(torch.randn(2, 4), teacher, index % 3, index)
    kept = [i for i in range(10) if i not in (3, 5)]
    assert torch.equal(loss.teacher_bank[kept], before[kept])
    new = nn.functional.normalize(loss.teacher_embedding(teacher), dim=1)
    mixed = nn.functional.normalize(0.8 * before[index] + 0.2 * new, dim=1)
    torch.testing.assert_close(loss.teacher_bank[index], mixed)
    assert not torch.equal(loss.student_bank, loss.teacher_bank)


def test_evaluation_changes_no_state() -> None:
    loss = trained().eval()
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    index = torch.arange(4)
    loss(torch.randn(4, 4), torch.randn(4, 4), index % 3, index)
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_a_saved_loss_goes_on_the_same() -> None:
    """Into a new loss, and into one that has seen other labels."""
    losses, values = [trained(), trained(), trained()], []
    index = torch.arange(4)
    losses[2](torch.randn(4, 4), torch.randn(4, 4), index * 0, index + 9)
    losses[0](torch.randn(4, 4), torch.randn(4, 4), index % 3 + 5, index)
    state = copy.deepcopy(losses[0].state_dict())
    for loss in losses:
        loss.load_state_dict(state)
        torch.manual_seed(3)
        values.append(loss(torch.ones(4, 4), torch.ones(4, 4), index % 3, index).item())
    assert len({*values}) == 1


def test_it_learns_to_tell_the_matching_image_from_others() -> None:
    loss = trained()
    teacher, index = torch.randn(30, 4), torch.arange(30)
    student = teacher.clone().requires_grad_()
    optimizer = torch.optim.Adam([student, *loss.parameters()], lr=0.05)
    values = []
    for _ in range(60):
        value = loss(student, teacher, index % 3, index)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.7 * values[0]
