"""What every student outside the plain families (ResNet, WRN, VGG, LeNet) must do."""

import copy

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

import students
from tests.students.factories import takes_classes_alone

PLAIN = ("resnet", "wrn", "vgg", "lenet")
SIZES = {"googlenet": 32, "inception_v3": 75}


NAMES = [n for n in students.__all__ if not n.startswith(PLAIN) and takes_classes_alone(n)]


def images(name: str, n: int = 4, channels: int = 3) -> Tensor:
    size = SIZES.get(name, 32)
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def made(name: str, in_channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return getattr(students, name)(5, in_channels=in_channels)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter(name: str) -> None:
    network = made(name, in_channels=1)
    network(images(name, channels=1)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.count_nonzero()] == []


@pytest.mark.parametrize("name", NAMES)
def test_trains_in_bfloat16_and_channels_last(name: str) -> None:
    """As the recipes do on a CPU."""
    network = made(name).to(memory_format=torch.channels_last)
    image = images(name).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(image)
    logits.float().square().sum().backward()
    assert logits.shape == (4, 5)
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_layout_and_batch_do_not_matter_in_evaluation(name: str) -> None:
    """Up to the order of additions: float32 keeps 7 digits."""
    network, image = made(name).eval(), images(name, n=2)
    with torch.no_grad():
        expected = network(image)
        alone = network(image[:1])
        network.to(memory_format=torch.channels_last)
        last = network(image.contiguous(memory_format=torch.channels_last))
    scale = expected.abs().max()
    torch.testing.assert_close(alone / scale, expected[:1] / scale, rtol=0, atol=1e-5)
    torch.testing.assert_close(last / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_works_as_a_class_path_and_a_seed_fixes_its_weights(name: str) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    node = {"class_path": f"students.{name}", "init_args": {"num_classes": 5}}
    torch.manual_seed(0)
    network = parser.instantiate(parser.parse_object({"network": node})).network
    first, second = network.state_dict(), made(name).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    copied = copy.deepcopy(network)
    assert [n for n, _ in copied.named_parameters()] == [n for n, _ in network.named_parameters()]


EVERY = [n for n in students.__all__ if takes_classes_alone(n)]


@pytest.mark.parametrize("name", EVERY)
def test_weights_may_be_of_half_precision(name: str) -> None:
    """As with Lightning's precision bf16-true."""
    network = made(name).eval()
    with torch.no_grad():
        expected = network(images(name, 1))
        logits = network.bfloat16()(images(name, 1).bfloat16())
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - expected).abs().max() < 0.1 * max(1.0, expected.abs().max())
