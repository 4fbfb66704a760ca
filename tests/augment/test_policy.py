from collections import Counter

import pytest
import torch
from torch import nn
from torchvision import transforms

from distill.augment import AutoAugment, RandAugment, TrivialAugment, policy
from distill.augment.operations import AUTO, OPERATIONS, WIDE, Space
from distill.core.batch import Batch
from tests.augment.scenes import noise

Calls = list[tuple[torch.Tensor, torch.Tensor, Space]]


def calls_of(module: nn.Module, monkeypatch: pytest.MonkeyPatch, n: int = 6000) -> Calls:
    """The operations that a policy asks for."""
    calls: Calls = []

    def note(batch: Batch, operation: torch.Tensor, strength: torch.Tensor, space: Space) -> Batch:
        calls.append((operation, strength, space))
        return batch

    monkeypatch.setattr(policy, "operate", note)
    batch = Batch(noise(1).image.expand(n, -1, -1, -1), torch.arange(n), torch.arange(n), 0)
    module(batch, 1)
    return calls


def frequencies(operation: torch.Tensor) -> dict[str, float]:
    counts = Counter(OPERATIONS[number] for number in operation.tolist())
    return {name: count / len(operation) for name, count in counts.items()}


@pytest.mark.parametrize("operations", [1, 3])
def test_randaugment_draws_from_fourteen(operations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = calls_of(RandAugment(operations, magnitude=12), monkeypatch)
    assert len(calls) == operations
    for operation, strength, space in calls:
        assert space is AUTO
        shares = frequencies(operation)
        assert set(shares) == set(OPERATIONS) - {"Invert"}
        assert all(abs(share - 1 / 14) < 0.017 for share in shares.values())  # 5 sigma
        assert set(strength.unique().tolist()) == {float(torch.tensor(s * 0.4)) for s in (-1, 1)}
        assert abs(float((strength > 0).double().mean()) - 0.5) < 0.033
    if operations == 3:
        assert not torch.equal(calls[0][0], calls[1][0])


def test_trivialaugment_draws_one_of_any_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    ((operation, strength, space),) = calls_of(TrivialAugment(), monkeypatch)
    assert space is WIDE
    assert set(frequencies(operation)) == set(OPERATIONS) - {"Invert"}
    steps = Counter((strength.abs() * 30).round().int().tolist())
    assert set(steps) == set(range(31))
    assert all(abs(count / 6000 - 1 / 31) < 0.012 for count in steps.values())
    torch.testing.assert_close(strength.abs() * 30, (strength.abs() * 30).round())


@pytest.mark.parametrize("name", ["imagenet", "cifar10", "svhn"])
def test_autoaugment_draws_one_of_its_pairs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = calls_of(AutoAugment(name), monkeypatch)
    pairs = transforms.AutoAugment(transforms.AutoAugmentPolicy(name)).policies
    known = {
        tuple((op, None if step is None else round(step / 9, 4)) for op, _, step in pair)
        for pair in pairs
    }
    columns = (*first[:2], *second[:2])
    for one, one_strength, two, two_strength in zip(*(c.tolist() for c in columns), strict=True):
        operations = [(OPERATIONS[one], abs(one_strength)), (OPERATIONS[two], abs(two_strength))]
        assert any(_may_be(operations, pair) for pair in known), operations
    for place, (operation, _, space) in enumerate((first, second)):
        assert space is AUTO
        expected: Counter[str] = Counter()
        for pair in pairs:
            wanted, probability, _ = pair[place]
            expected[wanted] += probability / 25
            expected["Identity"] += (1 - probability) / 25
        shares = frequencies(operation)
        assert set(shares) <= set(expected)
        assert all(abs(shares.get(op, 0) - p) < 0.033 for op, p in expected.items())


def _may_be(operations: list[tuple[str, float]], pair: tuple) -> bool:
    return all(
        done == "Identity" or (done == wanted and (step is None or abs(strength - step) < 1e-3))
        for (done, strength), (wanted, step) in zip(operations, pair, strict=True)
    )


@pytest.mark.parametrize("module", [RandAugment(), AutoAugment(), TrivialAugment()])
def test_images_of_one_channel_are_welcome(module: nn.Module) -> None:
    assert module(noise(40, channels=1), 1).image.shape == (40, 1, 12, 10)


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"operations must be in 1\.\.14, got 0"):
        RandAugment(0)
    with pytest.raises(ValueError, match=r"magnitude must be in 0\.\.30, got 31"):
        RandAugment(magnitude=31)
    with pytest.raises(
        ValueError, match="policy must be one of imagenet, cifar10, svhn, got mnist"
    ):
        AutoAugment("mnist")
