"""Designs and parameters in one vector."""

from distill.bench.sweep.space import read_parameters
from distill.search.space import LEVELS, Joint
from students.spaces import Chain

STAGE = {"op": ["conv", "mbconv"], "width": [4, 8], "depth": 1, "kernel": 3, "expand": [1, 2]}
PARAMETERS = {
    "model.optimizer.lr": {"distribution": "log_uniform_values", "min": 0.01, "max": 0.16},
    "data.batch_size": {"values": [20, 50]},
}
JOINT = Joint(
    Chain(stem=4, stages=[{**STAGE, "stride": 2}]), read_parameters("parameters", PARAMETERS)
)


def test_a_range_has_levels_at_the_middles_of_equally_likely_parts() -> None:
    rates = JOINT.decisions["model.optimizer.lr"]
    assert len(rates) == LEVELS
    for level, rate in enumerate(rates):
        assert abs(rate / (0.01 * 16 ** ((level + 0.5) / LEVELS)) - 1) < 1e-5


def test_a_design_is_its_network_and_its_parameters() -> None:
    design = (1, 0, 1, 3, 1)
    assert JOINT.network(design) == (1, 0, 1)
    rates = JOINT.decisions["model.optimizer.lr"]
    assert JOINT.parameters(design) == {"model.optimizer.lr": rates[3], "data.batch_size": 50}
    assert list(JOINT.chosen(design).values()) == ["mbconv", 4, 2, rates[3], 50]


def test_keys_tell_parameters_apart_and_not_what_a_network_does_not_have() -> None:
    assert JOINT.key((0, 0, 0, 3, 1)) == JOINT.key((0, 0, 1, 3, 1))  # expand of a convolution
    assert JOINT.key((0, 0, 0, 3, 1)) != JOINT.key((0, 0, 0, 4, 1))
    assert JOINT.key((1, 0, 0, 3, 1)) != JOINT.key((1, 0, 1, 3, 1))
