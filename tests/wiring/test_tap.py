import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from distill.wiring.tap import Taps


class InPlace(nn.Module):
    """Overwrites what its layers gave, the ways that networks in use do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.bn = nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        maps = self.conv(image)
        maps += 1
        maps = self.relu(self.bn(maps))
        return self.last(maps).clone()


class GivesTuple(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image, image


def test_outputs_and_inputs_are_captured() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    taps = Taps(network, ["0", "1:output", "2:input"])
    image = torch.randn(5, 3)
    network(image)
    values = taps.take()
    assert torch.equal(values["0"], network[0](image))
    assert torch.equal(values["1:output"], network[1](network[0](image)))
    assert torch.equal(values["2:input"], values["1:output"])


def test_take_lets_go() -> None:
    network = nn.Sequential(nn.Identity())
    taps = Taps(network, ["0"])
    network(torch.zeros(1))
    assert set(taps.take()) == {"0"}
    assert taps.take() == {}


def test_the_last_of_several_calls_counts() -> None:
    relu = nn.ReLU()
    network = nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu)
    taps = Taps(network, ["1:input"])
    image = torch.randn(4, 2)
    network(image)
    assert torch.equal(taps.take()["1:input"], network[2](relu(network[0](image))))


def test_what_is_overwritten_in_place_is_copied_after_the_dry_pass() -> None:
    network = InPlace().eval()
    taps = Taps(network, ["conv", "bn", "relu:input", "relu", "last"])
    image = torch.randn(3, 2, 4, 4)
    with torch.no_grad():
        network(image)
        assert taps.find_in_place() == {"conv", "bn", "relu:input"}
        taps.take()
        network(image)
        values = taps.take()
        expected = network.bn(network.conv(image) + 1)
    assert torch.equal(values["conv"], network.conv(image))
    assert torch.equal(values["bn"], expected)
    assert torch.equal(values["relu:input"], expected)
    assert torch.equal(values["relu"], F.relu(expected))


def test_a_torchvision_block_is_tapped_before_its_last_relu() -> None:
    network = models.resnet18(num_classes=4).eval()
    taps = Taps(network, ["layer4.1.relu:input", "layer4.1.bn2", "layer4"])
    with torch.no_grad():
        for _ in range(2):
            taps.take()
            network(torch.randn(2, 3, 32, 32))
            taps.find_in_place()
    values = taps.take()
    assert values["layer4.1.relu:input"].min() < 0
    assert torch.equal(F.relu(values["layer4.1.relu:input"]), values["layer4"])
    assert values["layer4.1.bn2"].min() < 0


def test_tokens_of_a_vision_transformer_are_tapped() -> None:
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=4)
    taps = Taps(network, ["blocks.3", "norm", "head:input"])
    network(torch.randn(2, 3, 32, 32))
    shapes = {path: tuple(value.shape) for path, value in taps.take().items()}
    assert shapes == {"blocks.3": (2, 17, 192), "norm": (2, 17, 192), "head:input": (2, 192)}


def test_taps_survive_compilation() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    taps = Taps(network, ["0", "2:input"])
    compiled = torch.compile(network, backend="aot_eager")
    for _ in range(2):
        image = torch.randn(4, 2)
        compiled(image).sum().backward()
        values = taps.take()
        assert torch.allclose(values["0"], network[0](image))
        assert torch.allclose(values["2:input"], F.relu(network[0](image)))


def test_a_gradient_flows_through_a_tap() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
    taps = Taps(network, ["0"])
    network(torch.randn(4, 2))
    taps.find_in_place()
    network(torch.randn(4, 2))
    taps.take()["0"].square().sum().backward()
    assert network[0].weight.grad is not None
    assert network[0].weight.grad.abs().sum() > 0


def test_removed_taps_capture_nothing() -> None:
    network = nn.Sequential(nn.Identity())
    taps = Taps(network, ["0"])
    taps.remove()
    network(torch.zeros(1))
    assert taps.take() == {}


@pytest.mark.parametrize("path", ["fc", "", "0.weight"])
def test_an_unknown_layer_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no layer"):
        Taps(nn.Sequential(nn.Linear(1, 1)), [path])


def test_an_empty_ending_is_refused() -> None:
    with pytest.raises(ValueError, match="':input', ':output' or the name of an output"):
        Taps(nn.Sequential(nn.Linear(1, 1)), ["0:"])


class Named(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"low": image, "high": 2 * image}


@pytest.mark.parametrize(
    ("layer", "path", "factor"), [(GivesTuple(), "0:1", 1), (Named(), "0:high", 2)]
)
def test_one_of_several_outputs_is_captured(layer: nn.Module, path: str, factor: int) -> None:
    taps = Taps(nn.Sequential(layer), [path])
    image = torch.randn(3, 2)
    nn.Sequential(layer)(image)
    layer(image)
    assert torch.equal(taps.take()[path], factor * image)


@pytest.mark.parametrize(
    ("layer", "path"), [(GivesTuple(), "0:2"), (Named(), "0:mid"), (nn.Identity(), "0:0")]
)
def test_an_output_that_is_not_there_is_named(layer: nn.Module, path: str) -> None:
    network = nn.Sequential(layer)
    Taps(network, [path])
    name = path.partition(":")[2]
    with pytest.raises(ValueError, match=rf"the layer gives a \w+ without '{name}', in '{path}'$"):
        network(torch.zeros(1, 2))


def test_a_layer_that_gives_no_tensor_is_refused() -> None:
    network = nn.Sequential(GivesTuple())
    Taps(network, ["0"])
    with pytest.raises(ValueError, match="'0' gives a tuple, not a tensor"):
        network(torch.zeros(1))
