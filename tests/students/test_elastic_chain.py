from typing import Any

import pytest
import torch
from torch import nn

from students import elastic_chain
from students.chain import Chain
from tests.fixtures.elastic import MBCONV, SPACE, designs, elastic

IMAGE = torch.randn(4, 1, 9, 9, generator=torch.Generator().manual_seed(0))


def randomized(**changes: Any) -> Any:
    """With transforms that are not the identity."""
    network = elastic(**changes)
    for name, parameter in network.named_parameters():
        if "transforms" in name:
            nn.init.normal_(parameter, std=0.3)
    return network


def test_an_extracted_chain_gives_what_the_part_gives_bit_by_bit() -> None:
    network = randomized()
    for architecture in designs(network, 20):
        network.choose(architecture)
        alone = network.eval().extract()
        assert type(alone) is Chain
        assert not alone.training
        assert torch.equal(network(IMAGE), alone(IMAGE)), architecture
        fresh = Chain(architecture, 10, 1)
        assert [(n, v.shape) for n, v in alone.state_dict().items()] == [
            (n, v.shape) for n, v in fresh.state_dict().items()
        ]


def test_an_extracted_chain_trains_as_the_part_does_bit_by_bit() -> None:
    network = randomized()
    for architecture in designs(network, 6):
        network.train().zero_grad()
        network.choose(architecture)
        alone = network.extract()
        logits = network(IMAGE), alone(IMAGE)
        assert torch.equal(*logits)
        for each in logits:
            each.square().sum().backward()
        width = architecture["stages"][-1]["width"]
        assert torch.equal(network.fc.weight.grad[:, :width], alone.fc.weight.grad)
        stem = alone.stem[0][0].weight.grad
        assert torch.equal(network.stem[0].convolution.weight.grad[: len(stem)], stem)
        assert torch.equal(
            network.extract().state_dict()["stem.0.1.running_var"], alone.stem[0][1].running_var
        )


def test_an_extracted_chain_shares_nothing() -> None:
    network = elastic()
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    alone = network.extract().train()
    with torch.no_grad():
        alone(IMAGE)
        for parameter in alone.parameters():
            parameter.zero_()
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())


def test_what_is_beyond_the_part_has_no_gradient_and_no_statistics() -> None:
    network = elastic().train()
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    smallest = designs(network, 0)[1]
    network.choose(smallest)
    network(IMAGE).square().sum().backward()
    stem = network.stem[0]
    assert stem.convolution.weight.grad[:4].any()
    assert not stem.convolution.weight.grad[4:].any()
    assert not torch.equal(stem.norm.running_mean[:4], kept["stem.0.norm.running_mean"][:4])
    assert torch.equal(stem.norm.running_mean[4:], kept["stem.0.norm.running_mean"][4:])
    unused = network.stages[0].layers[1].units[0]
    assert unused.convolution.weight.grad is None
    assert torch.equal(unused.norm.running_var, kept["stages.0.layers.1.units.0.norm.running_var"])


@pytest.mark.parametrize("expand", [[1, 2, 3], 1])
@pytest.mark.parametrize("width", [[6, 8], [6, 9]])
def test_sorting_leaves_the_largest_chain_as_it_is(expand: Any, width: list[int]) -> None:
    """With skips from stage to stage, and without; with an expansion, and without."""
    stage = {**MBCONV, "expand": expand, "width": width}
    stages = [SPACE["stages"][0], {**stage, "stride": 2}, {**stage, "stride": 1}]
    network = randomized(stages=stages).eval()
    before, kept = network(IMAGE), network.fc.weight.clone()
    network.sort_channels()
    assert not torch.equal(kept, network.fc.weight)
    torch.testing.assert_close(network(IMAGE), before, rtol=1e-4, atol=1e-4)


def test_sorting_puts_channels_first_that_are_read_with_large_weights() -> None:
    network = elastic()
    network.sort_channels()
    layers = network.stages[1].layers
    inside = layers[1].units[2].convolution.weight.abs().sum((0, 2, 3))
    assert (inside[:-1] >= inside[1:]).all()
    # The last stages are tied by skips: their channels are read by two layers and by the head.
    readers = [layers[1].units[0], *(layer.units[0] for layer in network.stages[2].layers)]
    norms = sum(each.convolution.weight.abs().sum((0, 2, 3)) for each in readers)
    norms = norms + network.fc.weight.abs().sum(0)
    assert (norms[:-1] >= norms[1:]).all()


def test_the_largest_chain_is_used_at_first() -> None:
    network = elastic().eval()
    first = network(IMAGE)
    network.choose(designs(network, 0)[1])
    assert not torch.equal(network(IMAGE), first)
    network.choose(designs(network, 0)[0])
    assert torch.equal(network(IMAGE), first)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"op": ["conv", "mbconv"]}, "stages.0.op must be one value, as all .*, got conv, mbconv"),
        ({"stride": [1, 2]}, "stages.0.stride must be one value, as all .*, got 1, 2"),
        ({"kernel": [3, 4, 5]}, "architecture.stages.0.kernel must be odd, got 4"),
        ({"width": [8, 0]}, "architecture.stages.0.width must be an integer of at least 1, got 0"),
        ({"widht": 3}, "stages.0 needs depth, expand, kernel, op, stride, width and no others"),
    ],
)
def test_what_cannot_share_weights_is_refused_by_key(changes: dict[str, Any], told: str) -> None:
    stage = {**MBCONV, "stride": 1} | changes
    with pytest.raises(ValueError, match=f"^{told}$"):
        elastic_chain(4, [stage], 10)
