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
    with pytest.raises(ValueError, match=r"^architecture\.family must be chain, got None$"):
        from_architecture(architecture, num_classes=2)
