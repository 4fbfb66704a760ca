import pytest
import torch
from torch import nn

from distill.modules.teacher import frozen_running_stats
from tests.fixtures.networks import tiny


def test_the_batch_is_normalised_by_itself_and_nothing_is_remembered() -> None:
    network, image = tiny(8), torch.rand(4, 1, 8, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(0)
    with frozen_running_stats(network):
        kept = network(image)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.manual_seed(0)
    assert torch.equal(network(image), kept)
    assert not torch.equal(network.bn.running_mean, before["bn.running_mean"])


def test_norms_that_track_nothing_stay_as_they_are() -> None:
    norm = nn.BatchNorm2d(1, track_running_stats=False)
    with frozen_running_stats(norm):
        pass
    assert not norm.track_running_stats


def test_tracking_goes_on_after_an_error() -> None:
    norm = nn.BatchNorm2d(1)
    with pytest.raises(ValueError, match="4D"), frozen_running_stats(norm):
        norm(torch.zeros(2, 1))
    assert norm.track_running_stats
