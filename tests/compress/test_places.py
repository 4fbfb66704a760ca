import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import students
from distill.compress.places import find_places


class Residual(nn.Module):
    """A module makes the end of one branch; the sum and the ReLU after it have none."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = (
            nn.Conv2d(3, 4, 1),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 4, 1),
        )
        self.act, self.last = nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x):
        x = self.act(self.norm(self.first(x)))
        x = F.relu(self.second(x) + x)
        return self.last(x.mean((2, 3)))


def layers(model):
    return [name for name, m in model.named_modules() if type(m) in (nn.Conv2d, nn.Linear)]


def test_layers_sums_and_signs_by_hand():
    model = Residual()
    places = find_places(model, [3, 8, 8], layers(model))
    assert places.layers == {"first": True, "second": False, "last": False}
    assert places.outputs == {"act": False, "second": True}
    assert places.rounded == {"second"}


def test_a_mean_reads_rounded_values_where_a_convolution_made_them():
    body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()]
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    places = find_places(model, [3, 8, 8], layers(model))
    assert places.outputs == {"2": False}
    assert not places.rounded
    after_a_sum = find_places(students.resnet8(num_classes=10), [3, 32, 32], ["fc"])
    assert "layer3.0.relu2" not in after_a_sum.outputs


def test_the_network_is_left_as_it_was():
    model = Residual()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.act.eval()
    find_places(model, [3, 8, 8], layers(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert not model.act.training
    assert not model.first._forward_hooks
    assert not model.first._forward_pre_hooks


def test_an_image_that_the_network_refuses_is_told():
    with pytest.raises(ValueError, match=r"image: the network refuses images of \[1, 8, 8\]"):
        find_places(Residual(), [1, 8, 8], ["first"])


@pytest.mark.parametrize(
    ("model", "outputs"),
    [
        # Both sides of each sum: bn2 and what came before, which is bn of a shortcut where there
        # is one and a ReLU elsewhere; without sums, what the mean over the last map reads.
        (students.resnet8(num_classes=10), 6),
        (students.wrn_16_2(num_classes=10), 12),
        (students.vgg8(num_classes=10), 1),
    ],
)
def test_both_sides_of_each_sum_have_a_module(model, outputs):
    assert len(find_places(model, [3, 32, 32], layers(model)).outputs) == outputs


@pytest.mark.parametrize(
    "model", [students.mobilenet_v2_half(num_classes=10), students.vit32(num_classes=10)]
)
def test_each_layer_that_runs_is_found(model):
    places = find_places(model, [3, 32, 32], layers(model))
    assert set(places.layers) == set(layers(model))
    assert places.outputs


def test_shared_and_in_place_modules_round_at_the_block():
    model = torchvision.models.resnet18(num_classes=10)
    outputs = find_places(model, [3, 32, 32], layers(model)).outputs
    assert "layer1.0" in outputs
    assert "layer1.0.relu" not in outputs
    assert {"layer1.0.bn2", "layer2.0.downsample.1"} <= set(outputs)
