from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from students import from_architecture
from students.chain import Chain

CONV = {"op": "conv", "width": 4, "depth": 1, "kernel": 3, "stride": 1}
MBCONV = {"op": "mbconv", "width": 6, "depth": 2, "kernel": 5, "stride": 2, "expand": 2}


def chain(**changes: object) -> dict[str, Any]:
    return {"family": "chain", "stem": 4, "stages": [CONV, MBCONV]} | changes


def unit(state: dict[str, torch.Tensor], name: str, maps: torch.Tensor, **how: int) -> torch.Tensor:
    """A convolution and a fresh batch norm in evaluation mode, which divides by its epsilon."""
    weight = state[f"{name}.0.weight"]
    maps = F.conv2d(maps, weight, padding=weight.shape[-1] // 2, **how)
    return maps / (1 + 1e-5) ** 0.5


def test_logits_follow_the_definition() -> None:
    network, image = Chain(chain(), 3, 2).double().eval(), torch.randn(2, 2, 8, 8).double()
    state = network.state_dict()
    stem = unit(state, "stem.0", image).clamp(min=0)
    maps = (unit(state, "stages.0.0.body.0", stem) + stem).clamp(min=0)
    for layer, stride, inner in ((0, 2, 8), (1, 1, 12)):
        name = f"stages.1.{layer}.body"
        wide = unit(state, f"{name}.0", maps).clamp(min=0)
        deep = unit(state, f"{name}.2", wide, stride=stride, groups=inner).clamp(min=0)
        narrow = unit(state, f"{name}.4", deep)
        maps = narrow + maps if layer else narrow
    expected = maps.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    torch.testing.assert_close(network(image), expected)


def test_gradient_reaches_every_parameter() -> None:
    network = Chain(chain(), 3, 2)
    network(torch.randn(8, 2, 8, 8)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.count_nonzero()] == []


def test_an_expansion_of_one_has_no_convolution_before_the_depthwise_one() -> None:
    network = Chain(chain(stages=[{**MBCONV, "expand": 1, "depth": 1}]), 3, 2)
    found = [m.groups for m in network.stages.modules() if isinstance(m, nn.Conv2d)]
    assert found == [4, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": 0}, r"architecture\.stem must be an integer of at least 1, got 0"),
        ({"stem": True}, r"architecture\.stem must be an integer of at least 1, got True"),
        ({"head": 1}, r"architecture\.head is unknown; architecture has family, stages, stem"),
        ({"stages": []}, r"architecture\.stages must be a list of stages, got \[\]"),
        ({"stages": [3]}, r"architecture\.stages\.0 must be a mapping, got 3"),
        ({"stages": [{"op": "conv"}]}, r"architecture\.stages\.0\.depth is missing"),
        (
            {"stages": [CONV | {"op": "pool"}]},
            r"architecture\.stages\.0\.op must be conv or mbconv, got 'pool'",
        ),
        (
            {"stages": [CONV | {"kernel": 4}]},
            r"architecture\.stages\.0\.kernel must be odd, got 4",
        ),
        (
            {"stages": [CONV, CONV | {"expand": 2}]},
            r"architecture\.stages\.1\.expand is of mbconv alone, got 2 for conv",
        ),
        (
            {"stages": [CONV | {"width": "8"}]},
            r"architecture\.stages\.0\.width must be an integer of at least 1, got '8'",
        ),
    ],
)
def test_what_is_no_chain_is_refused_by_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        from_architecture(chain(**changes), num_classes=3)
