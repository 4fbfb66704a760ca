"""Any student beside any teacher passes the dry pass, and the terms reach what they tap."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

import students
from distill.core.batch import Batch
from distill.losses import HintLoss, KDLoss, MapAdaptor, OverhaulLoss, RKDLoss
from distill.modules import Term
from distill.modules.objective import placed_terms
from distill.wiring.batch_norms import read_batch_norms
from distill.wiring.wiring import Wiring
from docs.student_zoo import STUDENTS

# Those that take no images of 16x16, which are enough here.
SIZES = {"lenet5": 32, "vit32": 32, "deit32": 32, "swin32": 32, "inception_v3": 75}
CNN, TRANSFORMER = "resnet8", "vit32"


@cache
def teacher(name: str) -> nn.Module:
    return getattr(students, name)(10).eval().requires_grad_(False)


def kd() -> Term:
    return Term(KDLoss(), inputs={"student": "student.logits", "teacher": "teacher.logits"})


def rkd(student: str, teacher: str) -> Term:
    inputs = {"student": STUDENTS[student].embedding, "teacher": STUDENTS[teacher].embedding}
    return Term(RKDLoss(), inputs={side: f"{side}@{path}" for side, path in inputs.items()})


def hint(student: str, teacher: str) -> Term:
    """Of the last stages, whatever they look like."""
    small, large = STUDENTS[student], STUDENTS[teacher]
    (path, width), (target, target_width) = small.stages[-1], large.stages[-1]
    loss = MapAdaptor(
        HintLoss(width, target_width),
        student_layout=small.layout,
        teacher_layout=large.layout,
        student_prefix_tokens=small.prefix_tokens,
        teacher_prefix_tokens=large.prefix_tokens,
    )
    return Term(loss, inputs={"student": f"student@{path}", "teacher": f"teacher@{target}"})


def overhaul(student: str, teacher: str) -> Term:
    path, width = STUDENTS[student].before_relu
    target, target_width = STUDENTS[teacher].before_relu
    loss = MapAdaptor(OverhaulLoss(width, target_width))
    return Term(loss, inputs={"student": f"student@{path}", "teacher": f"teacher@{target}"})


def passed(name: str, teacher_name: str, terms: dict[str, Term]) -> dict[str, Tensor]:
    """What the terms read, after their dry run; each tells each tapped tensor where to go."""
    torch.manual_seed(0)
    size = max(SIZES.get(each, 16) for each in (name, teacher_name))
    batch = Batch(torch.rand(4, 3, size, size), torch.arange(4), torch.arange(4), epoch=0)
    networks = {"student": getattr(students, name)(10).eval(), "teacher": teacher(teacher_name)}
    wiring = Wiring(placed_terms(terms), networks)
    read_batch_norms(terms.values(), networks)
    with torch.no_grad():
        logits = {side: network(batch.image) for side, network in networks.items()}
        shapes = wiring.dry_run(batch, logits)
        logits = {side: network(batch.image) for side, network in networks.items()}
        context = wiring.context(batch, logits)
    wiring.remove()
    assert set(shapes) == {k for term in terms.values() for k in term.sources() if "@" in k}
    own = {key: value.requires_grad_() for key, value in context.items() if key[0] == "s"}
    for term, value in wiring.evaluate(context).items():
        assert torch.isfinite(value), term
        sources = [own[key] for key in terms[term].sources() if key in own]
        (gradient,) = torch.autograd.grad(value, sources)
        assert gradient.abs().sum() > 0, term
    return context


@pytest.mark.parametrize("name", STUDENTS)
def test_every_student_learns_from_a_convolutional_teacher(name: str) -> None:
    terms = {"kd": kd(), "hint": hint(name, CNN), "rkd": rkd(name, CNN)}
    before_relu = STUDENTS[name].before_relu
    if before_relu is not None:
        terms["overhaul"] = overhaul(name, CNN)
    context = passed(name, CNN, terms)
    if before_relu is not None:
        assert context[f"student@{before_relu[0]}"].min() < 0


@pytest.mark.parametrize("name", [CNN, "mobilenet_v2_half", "swin32"])
def test_a_student_learns_from_a_transformer(name: str) -> None:
    terms = {"kd": kd(), "hint": hint(name, TRANSFORMER), "rkd": rkd(name, TRANSFORMER)}
    passed(name, TRANSFORMER, terms)
