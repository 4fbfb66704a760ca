import pytest
from jsonargparse import ArgumentParser
from torch import nn

from students import from_architecture
from students.chain import Chain

STAGE = {"op": "conv", "width": 8, "depth": 1, "kernel": 3, "stride": 2}


def test_a_nested_mapping_of_a_recipe_is_taken() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    architecture = {"family": "chain", "stem": 4, "stages": [STAGE]}
    init_args = {"architecture": architecture, "num_classes": 5, "in_channels": 1}
    config = {"network": {"class_path": "students.from_architecture", "init_args": init_args}}
    network = parser.instantiate(parser.parse_object(config)).network
    assert isinstance(network, Chain)
    assert network.fc.weight.shape == (5, 8)
    assert network.stem[0][0].weight.shape == (4, 1, 3, 3)


@pytest.mark.parametrize("architecture", [{}, {"family": None}, {"stages": []}])
def test_a_mapping_without_a_family_is_refused(architecture: dict[str, object]) -> None:
    with pytest.raises(
        ValueError, match=r"^architecture\.family must be branches or cells or chain, got None$"
    ):
        from_architecture(architecture, num_classes=2)


LAYER = {"op": "conv3", "width": 4, "inputs": [0], "halvings": 0}
BRANCHES = {"family": "branches", "stem": 4, "layers": [LAYER]}
CELLS = {"family": "cells", "width": 4, "cells": 1, "reduce_at": [], "normal": [[[0, "conv3"]]]}


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (BRANCHES | {"layer": []}, r"architecture\.layer is unknown; .*"),
        (BRANCHES | {"layers": [LAYER | {"width": 0}]}, r"architecture\.layers\.0\.width must .*"),
        (
            BRANCHES | {"layers": [LAYER | {"inputs": [1]}]},
            r"architecture\.layers\.0\.inputs must be of 0 \(the stem\) to 0, got \[1\]",
        ),
        (
            BRANCHES | {"layers": [LAYER | {"halvings": 1}, LAYER | {"inputs": [1]}]},
            r"architecture\.layers\.1\.halvings must be at least its inputs' 1",
        ),
        (
            BRANCHES | {"layers": [LAYER | {"merge": "add"}]},
            r"architecture\.layers\.0\.merge must be add or concat, for several inputs alone",
        ),
        (
            BRANCHES | {"layers": [LAYER | {"op": "conv9"}]},
            "an operation is one of .*, got 'conv9'",
        ),
        (CELLS | {"cells": 0}, r"architecture\.cells must be an integer of at least 1, got 0"),
        (CELLS | {"reduce_at": [0]}, r"architecture\.reduce needs at least one node"),
        (
            CELLS | {"normal": [[[2, "skip"]]]},
            r"architecture\.normal\.0 must read 0 to 1, got \[2\]",
        ),
    ],
)
def test_what_is_no_network_is_told_by_its_key(
    architecture: dict[str, object], message: str
) -> None:
    from_architecture(BRANCHES, 3, 1)
    from_architecture(CELLS, 3, 1)
    with pytest.raises(ValueError, match=f"^{message}$"):
        from_architecture(architecture, 3, 1)
