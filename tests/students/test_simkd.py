import copy
import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

import students
from students import SimKD

IMAGE = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def teacher() -> nn.Module:
    torch.manual_seed(1)
    return students.resnet8x4(10, in_channels=1).eval()


def simkd(reduction: int = 2) -> SimKD:
    torch.manual_seed(2)
    backbone = students.resnet8(10, in_channels=1)
    return SimKD(backbone, "layer3", "fc", teacher(), "fc", 64, 256, reduction)


class Gives(nn.Module):
    """A projector that gives what it is told."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, maps: Tensor) -> Tensor:
        return self.maps


def test_gives_the_teachers_logits_bit_by_bit_where_the_projector_gives_its_maps() -> None:
    kept: dict[str, Tensor] = {}
    network, student = teacher(), simkd()
    network.layer3.register_forward_hook(lambda m, i, output: kept.update(maps=output))
    expected = network(IMAGE)
    student.backbone.layer3.projector = Gives(kept["maps"])
    assert torch.equal(student(IMAGE), expected)


def test_the_projector_reads_the_backbones_last_maps() -> None:
    torch.manual_seed(2)
    backbone = students.resnet8(10, in_channels=1).eval()
    body, student = copy.deepcopy(backbone), simkd().eval()
    maps = body.layer3(body.layer2(body.layer1(body.relu(body.bn1(body.conv1(IMAGE))))))
    projected = student.backbone.layer3.projector(maps)
    head = teacher().fc
    assert torch.equal(student(IMAGE), head(projected.mean((2, 3), keepdim=True).flatten(1)))


@pytest.mark.parametrize(("reduction", "inner"), [(2, 128), (4, 64), (256, 1)])
def test_the_projector_is_that_of_the_paper(reduction: int, inner: int) -> None:
    projector = simkd(reduction).backbone.layer3.projector
    convolutions = [m for m in projector if isinstance(m, nn.Conv2d)]
    shapes = [tuple(m.weight.shape) for m in convolutions]
    assert shapes == [(inner, 64, 1, 1), (inner, inner, 3, 3), (256, inner, 1, 1)]
    assert all(m.bias is None for m in convolutions)
    kinds = [type(m) for m in projector]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 3
    assert projector(torch.randn(2, 64, 2, 2)).shape == (2, 256, 2, 2)


def test_counts_projector_and_head_and_not_the_backbones_classifier() -> None:
    """Of a resnet8 for digits all but 64 x 10 + 10; weights, scales and shifts; 256 x 10 + 10."""
    projector = 64 * 128 + 128 * 128 * 9 + 128 * 256 + 2 * (128 + 128 + 256)
    expected = 77_754 - 650 + projector + 2_570
    assert sum(p.numel() for p in simkd().parameters()) == expected


def test_every_parameter_but_the_heads_is_trained_and_gets_a_gradient() -> None:
    student = simkd().train()
    student(IMAGE).square().sum().backward()
    untrained = {name for name, p in student.named_parameters() if not p.requires_grad}
    assert untrained == {"backbone.fc.weight", "backbone.fc.bias"}
    without = {name for name, p in student.named_parameters() if p.grad is None}
    assert without == untrained


def test_training_leaves_the_head_as_it_was_and_moves_the_rest() -> None:
    student = simkd().train()
    before = copy.deepcopy(student.state_dict())
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, weight_decay=0.1)
    student(IMAGE).square().sum().backward()
    optimizer.step()
    changed = {name for name, p in student.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name, _ in student.named_parameters() if "fc." not in name}


def test_the_head_is_a_copy_and_the_teacher_is_let_go() -> None:
    network = teacher()
    head, gone = network.fc, weakref.ref(network)
    student = SimKD(students.resnet8(10, in_channels=1), "layer3", "fc", network, "fc", 64, 256)
    assert all(p.requires_grad for p in network.parameters())
    with torch.no_grad():
        head.bias += 1
    assert torch.equal(student.backbone.fc.bias + 1, head.bias)
    del network
    gc.collect()
    assert gone() is None


def test_a_head_that_training_would_change_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Sequential(nn.BatchNorm1d(256), nn.Linear(256, 10)))
    message = "^head must be without running statistics, '1' has some$"
    with pytest.raises(ValueError, match=message):
        SimKD(students.resnet8(10), "layer3", "fc", network, "1", 64, 256)


def test_the_state_dict_holds_the_head() -> None:
    student, other = simkd(), simkd()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(student.state_dict())
    assert torch.equal(student.state_dict()["backbone.fc.weight"], teacher().fc.weight)
    assert torch.equal(other.eval()(IMAGE), student.eval()(IMAGE))


def test_a_deep_copy_stands_alone() -> None:
    student = simkd().eval()
    expected, other = student(IMAGE), copy.deepcopy(student)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    assert torch.equal(other(IMAGE), expected)


def test_compiles_in_one_graph_to_the_same_logits() -> None:
    student = simkd().eval()
    compiled = torch.compile(student, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(IMAGE), student(IMAGE))


def test_carries_the_backbones_normalization_only() -> None:
    backbone, network = students.resnet8(10, in_channels=1), teacher()
    network.input_normalization = ((0.0,), (1.0,))
    assert not hasattr(
        SimKD(backbone, "layer3", "fc", network, "fc", 64, 256), "input_normalization"
    )
    backbone = students.resnet8(10, in_channels=1)
    backbone.input_normalization = ((0.25,), (0.5,))
    student = SimKD(backbone, "layer3", "fc", network, "fc", 64, 256)
    assert student.input_normalization == ((0.25,), (0.5,))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"features": "layer9"},
            "features must be the path of a layer of CifarResNet, got 'layer9'",
        ),
        ({"features": ""}, "features must be the path of a layer of CifarResNet, got ''"),
        (
            {"classifier": "head"},
            "classifier must be the path of a layer of CifarResNet, got 'head'",
        ),
        (
            {"classifier": "layer3"},
            "features must be a layer before the classifier 'layer3', got 'layer3'",
        ),
        ({"head": "0"}, "head must be the path of a layer of CifarResNet, got '0'"),
        ({"student_channels": 0}, "student_channels must be at least 1, got 0"),
        ({"teacher_channels": 0}, "teacher_channels must be at least 1, got 0"),
        ({"reduction": 0}, "reduction must be at least 1, got 0"),
        ({"reduction": 257}, "reduction must be at most 256, got 257"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changed: dict[str, object], message: str) -> None:
    arguments = {"features": "layer3", "classifier": "fc", "head": "fc"}
    numbers = {"student_channels": 64, "teacher_channels": 256}
    backbone = students.resnet8(10, in_channels=1)
    paths = [name for name, _ in backbone.named_modules()]
    with pytest.raises(ValueError, match=f"^{message}$"):
        SimKD(backbone, teacher=teacher(), **(arguments | numbers | changed))
    assert [name for name, _ in backbone.named_modules()] == paths
