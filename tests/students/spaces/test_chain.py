from typing import Any

import pytest
import torch

from students import from_architecture
from students.spaces import Chain

STAGE = {
    "op": ["conv", "mbconv"],
    "width": [4, 6],
    "depth": [1, 2],
    "kernel": [3, 5],
    "expand": [1, 2],
    "stride": 2,
}
SPACE = Chain(stem=[4, 8], stages=[STAGE])


def test_every_design_builds_and_equal_keys_are_equal_networks() -> None:
    shapes: dict[str, list[torch.Size]] = {}
    for design in SPACE.designs():
        network = from_architecture(SPACE.architecture(design), 3, 1)
        found = [parameter.shape for parameter in network.parameters()]
        assert shapes.setdefault(SPACE.key(design), found) == found
    assert len(list(SPACE.designs())) == 64
    assert len(shapes) == 2 * 8 * (1 + 2)


def test_an_architecture_has_the_values_that_a_design_chose() -> None:
    stage = {"op": "mbconv", "width": 4, "depth": 2, "kernel": 5, "expand": 1, "stride": 2}
    chosen = dict(zip(SPACE.decisions, (1, 1, 0, 1, 1, 0), strict=True))
    assert chosen["stages.0.op"] == 1
    assert SPACE.architecture((1, 1, 0, 1, 1, 0)) == {
        "family": "chain",
        "stem": 8,
        "stages": [stage],
    }


def test_costs_are_those_of_the_layers() -> None:
    """Conv 3x3 of the stem at 8x8, then a depthwise 5x5 and a 1x1 at 4x4, then the classifier."""
    parameters = (4 * 9 + 8) + (4 * 25 + 8) + (4 * 6 + 12) + (6 * 3 + 3)
    flops = 2 * (4 * 9 * 64 + 4 * 25 * 16 + 4 * 6 * 16 + 6 * 3)
    costs = SPACE.costs((0, 1, 1, 0, 1, 0), num_classes=3, image=(1, 8, 8))
    assert costs == {"parameters": parameters, "flops": flops}


def test_neighbours_differ_in_one_decision_and_in_their_network() -> None:
    for design in SPACE.designs():
        found = SPACE.neighbours(design)
        assert all(sum(a != b for a, b in zip(design, n, strict=True)) == 1 for n in found)
        assert len(found) == (6 if design[1] else 5)


@pytest.mark.parametrize("design", [(0,) * 5, (0, 0, 0, 0, 0, 2), (-1, 0, 0, 0, 0, 0)])
def test_a_design_of_another_space_is_refused(design: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^a design has 6 indices below \[2, 2, 2, 2"):
        SPACE.architecture(design)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (STAGE | {"widht": 3}, r"stages\.0 needs depth, .*, width and no others"),
        (STAGE | {"width": []}, r"stages\.0\.width needs values that differ, got \[\]"),
        (STAGE | {"width": [4, 4]}, r"stages\.0\.width needs values that differ, got \[4, 4\]"),
    ],
)
def test_a_stage_that_is_none_is_refused(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Chain(stem=4, stages=[stage])
