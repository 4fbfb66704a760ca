import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distill.wiring.capture import capture
from tests.fixtures.networks import tiny


def image(n: int = 4) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def hooks(network: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)


def test_outputs_and_inputs_of_layers_are_those_of_the_network() -> None:
    network = tiny().eval()
    with capture(network, ["conv", "fc:input", "fc"]) as taps:
        out = network(image())
        assert set(taps) == {"conv", "fc:input", "fc"}
        assert taps["fc"] is out
        assert torch.equal(taps["conv"], network.get_submodule("conv")(image()))
    pooled = network.relu(network.bn(network.conv(image()))).mean((2, 3))  # type: ignore[operator]
    assert torch.equal(taps["fc:input"], pooled)


def test_gradients_flow_through_what_is_captured() -> None:
    network = tiny().eval()
    with capture(network, ["conv", "fc:input"]) as taps:
        score = network(image())[:, 3].sum()
    (gradient,) = torch.autograd.grad(score, taps["fc:input"], retain_graph=True)
    weight: Any = network.get_submodule("fc").weight
    assert torch.equal(gradient, weight[3].expand(4, -1))
    taps["conv"].square().sum().backward()
    assert network.get_submodule("conv").weight.grad is not None


def test_the_network_is_left_without_hooks() -> None:
    network = tiny()
    with capture(network, ["conv", "fc:input"]):
        assert hooks(network) == 3
    assert hooks(network) == 0
    with pytest.raises(ZeroDivisionError), capture(network, ["conv"]):
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="no layer 'fcc'"), capture(network, ["conv", "fcc"]):
        pass
    assert hooks(network) == 0


def test_each_pass_replaces_the_one_before_which_is_freed() -> None:
    network = tiny().eval()
    with capture(network, ["conv"]) as taps:
        network(image())
        first = weakref.ref(taps["conv"])
        network(image(2))
        assert first() is None
        assert taps["conv"].shape == (2, 8, 4, 4)
        last = weakref.ref(taps["conv"])
    assert last() is taps["conv"]
    del taps
    assert last() is None


def test_a_layer_that_did_not_run_in_the_last_pass_is_not_there() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Tensor, deep: bool) -> Tensor:
            return self.layer(x) if deep else x

    network = Sometimes()
    with capture(network, ["layer"]) as taps:
        network(torch.ones(1, 2), deep=True)
        assert "layer" in taps
        network(torch.ones(1, 2), deep=False)
        assert (len(taps), "layer" in taps) == (0, False)
        with pytest.raises(KeyError, match="the layer at 'layer' did not run"):
            taps["layer"]


def test_what_the_network_overwrote_is_not_given_for_what_it_was() -> None:
    network = tiny().eval()
    with capture(network, ["bn", "conv"]) as taps:
        network(image())
    assert taps["conv"].min() < 0
    with pytest.raises(ValueError, match=r"'bn' is not what its layer gave: .*copy=True"):
        taps["bn"]
    with capture(network, ["bn", "conv"], copy=True) as taps:
        network(image())
    assert torch.equal(taps["bn"], network.get_submodule("bn")(taps["conv"]))
    assert taps["bn"].min() < 0


def test_inference_mode_is_captured_as_it_was() -> None:
    network = tiny().eval()
    with capture(network, ["bn"]) as taps, torch.inference_mode():
        network(image())
        assert taps["bn"].min() < 0


def test_names_are_told_with_the_nearest() -> None:
    network = tiny()
    with pytest.raises(ValueError, match="no layer 'con' in TinyNet, did you mean 'conv'"):
        capture(network, ["con"]).__enter__()
    with pytest.raises(ValueError, match=r"paths must be a list, such as \['conv'\], got 'conv'"):
        capture(network, "conv").__enter__()
    with capture(network, ["conv"]) as taps, pytest.raises(KeyError, match="did you mean 'conv'"):
        taps["convv"]


@pytest.mark.slow
def test_a_compiled_network_is_refused_and_one_compiled_inside_is_not() -> None:
    network = tiny().eval()
    told = "capture the network itself, and compile it inside of the block"
    inside = nn.Sequential(tiny())
    inside[0].compile(backend="eager")
    for compiled in (torch.compile(network, backend="eager"), inside):
        with pytest.raises(ValueError, match=told):
            capture(compiled, ["conv"]).__enter__()
    with capture(network, ["fc:input"]) as taps:
        torch.compile(network, backend="eager")(image())
        compiled_value = taps["fc:input"]
        network(image())
        assert torch.allclose(compiled_value, taps["fc:input"])
