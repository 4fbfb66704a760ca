"""Cut networks against dense ones whose channels are zeroed."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

import students
from distill.compress import pruned, quantized
from distill.metrics import cost
from teachers import from_run
from teachers.weights import load_exactly

IMAGE = (3, 32, 32)


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    made = getattr(students, name)(num_classes=10)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -1, 1)
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 2)
    return made.double().eval()


def zeroed(dense: nn.Module, cut: nn.Module) -> dict[str, Tensor]:
    """The dense weights, with scale and bias of batch norms zero where a channel was cut."""
    state, left = dense.state_dict(), cut.state_dict()
    for path, layer in dense.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            gone = ~torch.isin(state[f"{path}.weight"], left[f"{path}.weight"])
            assert len(gone) - gone.sum() == len(left[f"{path}.weight"])
            state[f"{path}.weight"][gone] = 0.0
            state[f"{path}.bias"][gone] = 0.0
    return state


@pytest.mark.parametrize(
    "name",
    [
        *("resnet8", "resnet20", "wrn_16_2", "vgg8"),
        pytest.param("mobilenet_v2_half", marks=pytest.mark.slow),
    ],
)
def test_a_cut_network_is_the_dense_one_without_the_channels(name: str) -> None:
    dense = network(name)
    image = cost.dummy_image(IMAGE)
    cut = pruned(copy.deepcopy(dense).float(), IMAGE, 0.6).double()
    share = cost.flops(cut, image.double()) / cost.flops(dense, image.double())
    assert 0.3 < share <= 0.6
    float_dense = copy.deepcopy(dense).float().double()
    float_dense.load_state_dict(zeroed(float_dense, cut))
    assert torch.allclose(cut(image.double()), float_dense(image.double()), rtol=0, atol=1e-12)


def test_weights_carry_the_widths() -> None:
    cut = pruned(network("resnet8").float(), IMAGE, 0.5).eval()
    other = pruned(students.resnet8(num_classes=10), IMAGE, 1.0).eval()
    load_exactly(other, cut.state_dict(), "file")
    image = cost.dummy_image(IMAGE)
    assert torch.equal(cut(image), other(image))
    assert sum(p.numel() for p in other.parameters()) < 0.7 * sum(
        p.numel() for p in students.resnet8(num_classes=10).parameters()
    )


def test_a_run_of_a_pruned_student_is_read_without_pruning_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = pruned(network("resnet8").float(), IMAGE, 0.5).eval()
    dense = {"class_path": "students.resnet8", "init_args": {"num_classes": 10}}
    arguments = {"model": dense, "image": list(IMAGE), "flops": 0.5}
    student = {"class_path": "distill.compress.pruned", "init_args": arguments}
    tree = {"model": {"init_args": {"student": student}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    (tmp_path / "result.json").write_text("{}")
    save_file(cut.state_dict(), tmp_path / "student.safetensors")
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    image = cost.dummy_image(IMAGE)
    assert torch.equal(from_run(str(tmp_path)).eval()(image), cut(image))
    with pytest.raises(ValueError, match="pruning needs torch-pruning: pip install"):
        pruned(network("resnet8").float(), IMAGE, 0.5)


def test_widths_that_fit_no_graph_are_told_with_both_numbers() -> None:
    other = pruned(students.resnet8(num_classes=10), IMAGE, 1.0)
    state = dict(other.state_dict())
    state["layer1.0.conv2.weight"] = torch.zeros(16, 11, 3, 3)
    with pytest.raises(ValueError, match=r"11.*16") as caught:
        load_exactly(other, state, "file")
    assert "\n" not in str(caught.value)
    assert other.layer1[0].conv2.weight.shape[1] == 16


def test_what_is_kept_stays_and_all_criteria_cut() -> None:
    for criterion in ("l1", "l2", "bn", "fpgm", "random"):
        cut = pruned(network("resnet8").float(), IMAGE, 0.8, criterion, keep=["layer2"])
        assert cut.layer2[0].conv2.weight.shape[0] == 32
        assert cost.flops(cut, cost.dummy_image(IMAGE)) < 25e6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flops": 0.0}, "flops must be above 0"),
        ({"flops": 0.001}, "flops: 0.001 cannot be reached, only 0"),
        ({"flops": 0.5, "keep": ["layer9"]}, "keep: layer9 holds no layer"),
        ({"flops": 0.5, "criterion": "taylor"}, "criterion must be one of"),
        ({"flops": 0.5, "spread": "odd"}, "spread must be"),
        ({"flops": 0.5, "block": 0}, "block must be"),
    ],
)
def test_what_cannot_be_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pruned(students.resnet8(num_classes=10), IMAGE, **given)


def test_widths_of_a_network_that_is_quantised_too_are_in_the_weights() -> None:
    def made(flops: float) -> nn.Module:
        return quantized(pruned(network("resnet8").float(), IMAGE, flops), IMAGE, 2, 2)

    cut, other = made(0.5).train(), made(1.0)
    cut(cost.dummy_image(IMAGE).repeat(2, 1, 1, 1))
    load_exactly(other, cut.state_dict(), "file")
    image = cost.dummy_image(IMAGE)
    assert torch.equal(cut.eval()(image), other.eval()(image))
    with pytest.raises(ValueError, match="quantised already: prune first"):
        pruned(cut, IMAGE, 0.5)


@pytest.mark.parametrize("name", ["shufflenet_v1", "vit32"])
def test_networks_that_cannot_be_followed_are_named(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be pruned"):
        pruned(network(name).float(), IMAGE, 0.5)
