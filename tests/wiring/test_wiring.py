import pytest
import torch
from torch import Tensor, nn

from distill.core.batch import Batch
from distill.core.errors import RecipeError
from distill.data import Digits
from distill.losses import KDLoss, OverhaulLoss, overhaul_margin
from distill.modules import Term
from distill.modules.networks import Networks
from distill.modules.objective import Objective, placed_terms
from distill.wiring.batch_norms import read_batch_norms
from distill.wiring.keys import Sources
from distill.wiring.wiring import Wiring
from tests.fixtures.networks import tiny

CE = Term(nn.CrossEntropyLoss(), inputs={"input": "student.logits", "target": "batch.target"})


class SumOfMaps(nn.Module):
    def forward(self, maps: list[Tensor]) -> Tensor:
        return torch.stack([m.mean() for m in maps]).sum()


class Gap(nn.Module):
    def forward(self, index: Tensor, target: Tensor) -> Tensor:
        return (index - target).sum()


class NotScalar(nn.Module):
    def forward(self, student: Tensor) -> Tensor:
        return student.mean(0)


class Types(nn.Module):
    """Remembers the types of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.dtype] = []

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.seen += [student.dtype, teacher.dtype]
        return student.sum()


def batch(n: int = 4) -> Batch:
    return Batch(torch.rand(n, 1, 8, 8), torch.arange(n), 10 + torch.arange(n), epoch=0)


def wired(**terms: Term) -> tuple[Wiring, dict[str, Tensor], Batch]:
    student, teacher = tiny(8).eval(), tiny(12).eval()
    wiring = Wiring(placed_terms(terms), {"student": student, "teacher": teacher})
    images = batch()
    logits = {"student": student(images.image), "teacher": teacher(images.image)}
    return wiring, logits, images


def test_every_term_gets_the_tensors_it_names() -> None:
    kd = Term(KDLoss(2.0), inputs={"student": "student.logits", "teacher": "teacher.logits"})
    wiring, logits, images = wired(ce=CE, kd=kd)
    values = wiring.evaluate(wiring.context(images, logits))
    expected = nn.functional.cross_entropy(logits["student"], images.target)
    assert torch.equal(values["ce"], expected)
    assert torch.equal(values["kd"], KDLoss(2.0)(logits["student"], logits["teacher"]))


def test_the_sample_numbers_are_a_source() -> None:
    inputs: dict[str, str | list[str]] = {"index": "batch.index", "target": "batch.target"}
    wiring, logits, images = wired(index=Term(Gap(), inputs=inputs))
    assert wiring.evaluate(wiring.context(images, logits))["index"] == 40


def test_a_list_of_keys_gives_a_list_of_tensors() -> None:
    term = Term(SumOfMaps(), inputs={"maps": ["student@conv", "teacher@conv"]})
    wiring, logits, images = wired(maps=term)
    context = wiring.context(images, logits)
    expected = context["student@conv"].mean() + context["teacher@conv"].mean()
    assert wiring.evaluate(context)["maps"] == expected


def test_half_precision_reaches_a_loss_as_float32() -> None:
    loss = Types()
    term = Term(loss, inputs={"student": "student.logits", "teacher": "teacher.logits"})
    wiring, logits, images = wired(types=term)
    half = {name: value.bfloat16() for name, value in logits.items()}
    wiring.evaluate(wiring.context(images, half))
    wiring.dry_run(images, half)
    assert loss.seen == [torch.float32] * 4


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("teacher@fc", "model.gradient_norms: needs student.logits or student@PATH"),
        ("batch.target", "model.gradient_norms: needs student.logits or student@PATH"),
        ("student@fcc", "model.gradient_norms: student: no layer 'fcc' in TinyNet.*'fc'"),
    ],
)
def test_gradients_are_watched_in_the_student_only(place: str, message: str) -> None:
    objective = Objective(placed_terms({"ce": CE}), ["student"], watched=place)
    networks = Networks({"student": tiny(8), "teacher": tiny(12)})
    with pytest.raises(RecipeError, match=message):
        objective.wire(networks, Digits())


def test_terms_are_evaluated_outside_autocast() -> None:
    term = Term(nn.Linear(10, 1), inputs={"input": "student.logits"})
    wiring, logits, images = wired(linear=term)
    with torch.autocast("cpu", torch.bfloat16):
        assert wiring.evaluate(wiring.context(images, logits))["linear"].dtype == torch.float32


def test_an_unknown_layer_names_term_and_network() -> None:
    term = Term(nn.MSELoss(), inputs={"input": "student@fcc", "target": "teacher@fc"})
    with pytest.raises(
        RecipeError, match=r"model.losses.mse.inputs: student: no layer 'fcc'.*'fc'"
    ):
        wired(mse=term)


def test_a_term_cannot_read_a_teacher_that_is_not_there() -> None:
    term = Term(nn.MSELoss(), inputs={"input": "student@fc", "target": "teacher@fc"})
    sources = Sources(("student",), absent={"teacher": "model.teacher is null"})
    with pytest.raises(RecipeError, match=r"model\.teacher is null"):
        Wiring(placed_terms({"mse": term}), {"student": tiny(8)}, sources)


def test_the_dry_run_reports_every_tapped_shape() -> None:
    term = Term(nn.MSELoss(), inputs={"input": "student@fc", "target": "teacher@fc"})
    wiring, logits, images = wired(mse=term, ce=CE)
    assert wiring.dry_run(images, logits) == {"student@fc": (4, 10), "teacher@fc": (4, 10)}


def test_the_dry_run_names_both_sides_of_a_mismatch() -> None:
    kd = Term(KDLoss(), inputs={"student": "student@conv", "teacher": "teacher@conv"})
    wiring, logits, images = wired(kd=kd)
    with pytest.raises(RecipeError) as caught:
        wiring.dry_run(images, logits)
    message = str(caught.value)
    assert message.startswith(
        "model.losses.kd: student@conv (4, 8, 4, 4), teacher@conv (4, 12, 4, 4)"
    )
    assert len(message.splitlines()) == 1


def test_a_loss_must_be_a_scalar() -> None:
    wiring, logits, images = wired(rows=Term(NotScalar(), inputs={"student": "student.logits"}))
    with pytest.raises(RecipeError, match=r"model.losses.rows: must be a scalar, is \(10,\)"):
        wiring.dry_run(images, logits)


def test_the_dry_run_copies_what_the_network_overwrites() -> None:
    term = Term(nn.MSELoss(), inputs={"input": "student@bn", "target": "student@relu"})
    wiring, logits, images = wired(mse=term)
    wiring.dry_run(images, logits)
    student = wiring._networks["student"]
    assert student is not None
    student(images.image)
    context = wiring.context(images, logits)
    assert context["student@bn"].min() < 0 <= context["student@relu"].min()


def overhaul(source: str) -> Term:
    inputs: dict[str, str | list[str]] = {"student": "student@bn", "teacher": source}
    return Term(OverhaulLoss(8, 12), inputs=inputs)


def test_margins_come_from_the_batch_norm_that_a_term_is_wired_to() -> None:
    term = overhaul("teacher@bn")
    wiring, _, _ = wired(overhaul=term)
    teacher = wiring._networks["teacher"]
    assert teacher is not None
    nn.init.normal_(teacher.bn.bias)
    read_batch_norms([term], wiring._networks)
    expected = overhaul_margin(teacher.bn.bias, teacher.bn.weight.abs())
    assert torch.equal(term.loss.margin.flatten(), expected.detach())


@pytest.mark.parametrize("source", ["teacher@relu:input", "teacher@conv"])
def test_margins_are_left_to_be_estimated_elsewhere(source: str) -> None:
    term = overhaul(source)
    wiring, _, _ = wired(overhaul=term)
    read_batch_norms([term], wiring._networks)
    assert not term.loss.margin.any()


def test_nothing_is_kept_after_clearing() -> None:
    wiring, _, _ = wired(overhaul=overhaul("teacher@bn"))
    wiring.clear()
    assert all(taps.take() == {} for taps in wiring._taps.values())


def test_removed_wiring_captures_nothing() -> None:
    wiring, _, images = wired(overhaul=overhaul("teacher@bn"))
    wiring.clear()
    wiring.remove()
    student = wiring._networks["student"]
    assert student is not None
    student(images.image)
    assert wiring._taps["student"].take() == {}
