import pytest
import torch
from torch.nn import functional as F

from students import lenet5
from tests.students.calls import calls_of


def test_has_the_classic_number_of_parameters() -> None:
    assert sum(p.numel() for p in lenet5(10, in_channels=1).parameters()) == 61_706


def test_logits_follow_the_definition() -> None:
    network, image = lenet5(10).double(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    weights = network.state_dict()
    maps = image
    for name in ("conv1", "conv2"):
        maps = F.conv2d(maps, weights[f"{name}.weight"], weights[f"{name}.bias"])
        maps = F.max_pool2d(maps.clamp(min=0), 2)
    hidden = maps.reshape(2, 400)
    for name in ("fc1", "fc2"):
        hidden = (hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]).clamp(min=0)
    expected = hidden @ weights["fc3.weight"].T + weights["fc3.bias"]
    torch.testing.assert_close(network(image), expected)


def test_documented_paths_give_features_and_embedding() -> None:
    calls = calls_of(lenet5(10, in_channels=1), torch.randn(2, 1, 32, 32))
    shapes = {name: tuple(calls[name][0].output.shape) for name in ("conv1", "conv2", "pool1")}
    assert shapes == {"conv1": (2, 6, 28, 28), "conv2": (2, 16, 10, 10), "pool1": (2, 6, 14, 14)}
    assert calls["pool2"][0].output.shape == (2, 16, 5, 5)
    assert calls["fc1"][0].output.shape == (2, 120)
    assert calls["fc3"][0].input.shape == (2, 84)


def test_calls_every_module_once_and_nothing_in_place() -> None:
    for name, calls in calls_of(lenet5(10), torch.randn(2, 3, 32, 32)).items():
        assert len(calls) == 1, name
        assert torch.equal(calls[0].output, calls[0].output_then), name


def test_gradient_reaches_every_parameter() -> None:
    network = lenet5(10)
    network(torch.randn(8, 3, 32, 32)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.count_nonzero()] == []


def test_other_image_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^lenet5 needs images of 32x32 pixels, got 28x28$"):
        lenet5(10, in_channels=1)(torch.zeros(2, 1, 28, 28))
