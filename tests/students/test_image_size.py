import pickle

import pytest
import torch
from torch import nn

from students.image_size import needs_at_least, needs_size


@pytest.mark.parametrize("size", [(8, 9), (9, 8), (16, 16), (7, 7)])
def test_another_size_is_refused(size: tuple[int, int]) -> None:
    network = nn.Flatten()
    needs_size(network, "net", 8)
    network(torch.zeros(2, 1, 8, 8))
    height, width = size
    with pytest.raises(ValueError, match=f"^net needs images of 8x8 pixels, got {height}x{width}$"):
        network(torch.zeros(2, 1, *size))


@pytest.mark.parametrize("size", [(7, 8), (8, 7)])
def test_smaller_images_are_refused(size: tuple[int, int]) -> None:
    network = nn.Flatten()
    needs_at_least(network, "net", 8)
    network(torch.zeros(2, 1, 8, 8))
    network(torch.zeros(2, 1, 9, 11))
    height, width = size
    message = f"^net needs images of at least 8x8 pixels, got {height}x{width}$"
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(2, 1, *size))


def test_a_network_with_a_size_can_still_be_pickled() -> None:
    network = nn.Flatten()
    needs_size(network, "net", 8)
    with pytest.raises(ValueError, match="net needs images"):
        pickle.loads(pickle.dumps(network))(torch.zeros(2, 1, 9, 9))  # noqa: S301 - our own bytes


def test_the_weights_do_not_know_of_it() -> None:
    network = nn.Linear(2, 2)
    needs_size(network, "net", 8)
    assert list(network.state_dict()) == ["weight", "bias"]
