import numpy as np
import pytest
import torch

from distill.data.labels import select_labelled, select_per_class

TARGETS = torch.from_numpy(np.random.default_rng(0).choice(4, 400, p=[0.6, 0.3, 0.09, 0.01]))
IDS = torch.arange(7, 807, 2)


def kept(share: float) -> set[int]:
    return set(select_labelled(IDS, TARGETS, share).tolist())


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_each_class_keeps_its_share_but_at_least_one(share: float) -> None:
    chosen = kept(share)
    for number in range(4):
        own = {int(i) for i, t in zip(IDS, TARGETS, strict=True) if t == number}
        assert len(chosen & own) == max(1, round(share * len(own)))
    assert chosen <= set(IDS.tolist())


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    assert kept(0.01) < kept(0.1) < kept(0.5) < kept(1.0) == set(IDS.tolist())


def test_the_order_in_which_samples_are_given_does_not_matter() -> None:
    order = torch.from_numpy(np.random.default_rng(1).permutation(400))
    shuffled = select_labelled(IDS[order], TARGETS[order], 0.1)
    assert torch.equal(shuffled, select_labelled(IDS, TARGETS, 0.1))


def test_global_generators_do_not_matter() -> None:
    first = kept(0.1)
    torch.manual_seed(3)
    assert kept(0.1) == first


@pytest.mark.parametrize("n", [1, 5, 30])
def test_so_many_of_each_class_are_those_of_a_share_of_that_size(n: int) -> None:
    chosen = set(select_per_class(IDS, TARGETS, n).tolist())
    for number in range(4):
        own = {int(i) for i, t in zip(IDS, TARGETS, strict=True) if t == number}
        assert len(chosen & own) == min(n, len(own))
        assert chosen & own == kept(min(n, len(own)) / len(own)) & own
