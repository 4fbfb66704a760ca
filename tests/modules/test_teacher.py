import copy

import pytest
import torch
from torch import nn

from distill.modules.teacher import Frozen, frozen_running_stats
from tests.fixtures.networks import tiny


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_eval_mode_uses_running_statistics_and_no_dropout() -> None:
    frozen = Frozen(network())
    image = torch.randn(8, 1, 6, 6)
    convolved = frozen.network[0](image)
    expected = convolved / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(frozen.network(image), expected)


def test_batch_statistics_normalise_by_the_batch_without_dropout() -> None:
    frozen = Frozen(network(), "batch_statistics")
    output = frozen.network(5 + 3 * torch.randn(8, 1, 6, 6))
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    deviation = output.var((0, 2, 3), unbiased=False)
    torch.testing.assert_close(deviation, torch.ones(4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("mode", ["eval", "batch_statistics"])
def test_no_pass_changes_a_tensor(mode: str) -> None:
    frozen = Frozen(network(), mode)  # type: ignore[arg-type]
    before, digest = state(frozen.network), frozen.digest()
    for _ in range(3):
        frozen.network(torch.randn(8, 1, 6, 6))
    after = state(frozen.network)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert frozen.digest() == digest


@pytest.mark.parametrize("mode", ["eval", "batch_statistics"])
def test_it_is_judged_by_each_image_alone(mode: str) -> None:
    frozen = Frozen(network(), mode)  # type: ignore[arg-type]
    images = 5 + 3 * torch.randn(8, 1, 6, 6)
    with frozen.judged():
        together, alone = frozen.network(images), frozen.network(images[:1])
    torch.testing.assert_close(alone, together[:1])
    frozen.check_mode()  # afterwards it is as it was


def test_the_digest_tells_one_changed_bit() -> None:
    frozen = Frozen(network())
    digest = frozen.digest()
    frozen.network[1].num_batches_tracked += 1
    assert frozen.digest() != digest


def test_nothing_requires_a_gradient() -> None:
    assert not any(p.requires_grad for p in Frozen(network()).network.parameters())


@pytest.mark.parametrize("mode", ["eval", "batch_statistics"])
def test_another_mode_is_noticed(mode: str) -> None:
    frozen = Frozen(network(), mode)  # type: ignore[arg-type]
    frozen.check_mode()
    frozen.network.train()
    with pytest.raises(RuntimeError, match=f"is in train mode, declared '{mode}'"):
        frozen.check_mode()


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="teacher_mode must be eval or batch_statistics"):
        Frozen(network(), "train")  # type: ignore[arg-type]


def test_a_copy_is_the_same_object() -> None:
    frozen = Frozen(network())
    assert copy.deepcopy({"teacher": frozen})["teacher"] is frozen


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
