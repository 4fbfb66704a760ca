import pytest
import torch

from distill.data.loader import KeyedSampler, Views
from distill.data.paired import PairedSampler

LABELLED, UNLABELLED = torch.arange(0, 24, 2), torch.arange(101, 181, 2)  # 12 and 40 samples


def sampler(
    started: int = 0, size: int = 12, seed: int = 0, rank: int = 0, world: int = 1
) -> PairedSampler:
    length = 12 // (4 * world)
    views = Views([torch.nn.Identity()], seed)
    labelled = KeyedSampler(LABELLED, 4, views, lambda: started, length, rank, world)
    return PairedSampler(labelled, UNLABELLED, size, seed, rank, world)


def added(keys: PairedSampler) -> list[list[int]]:
    return [key.samples[4:].tolist() for key in keys]


def drawn(keys: PairedSampler) -> set[int]:
    return {number for samples in added(keys) for number in samples}


def test_each_batch_has_its_labelled_samples_and_then_unlabelled_ones() -> None:
    keys = list(sampler())
    assert len(keys) == len(sampler()) == 3
    for key in keys:
        assert set(key.samples[:4].tolist()) <= set(LABELLED.tolist())
        assert len(key.samples) == 16
        assert set(key.samples[4:].tolist()) <= set(UNLABELLED.tolist())
    assert len(drawn(sampler())) == 36


def test_the_labelled_samples_are_those_of_plain_training() -> None:
    views = Views([torch.nn.Identity()], 0)
    plain = KeyedSampler(LABELLED, 4, views, lambda: 0, 3)
    for ours, key in zip(sampler(), plain, strict=True):
        assert ours.samples[:4].tolist() == key.samples.tolist()
        assert (ours.epoch, ours.step) == (key.epoch, key.step)


def test_every_epoch_draws_anew_and_in_time_all_are_drawn() -> None:
    epochs = [drawn(sampler(started=3 * epoch)) for epoch in range(8)]
    assert epochs[0] != epochs[1]
    assert set().union(*epochs) == set(UNLABELLED.tolist())
    assert added(sampler(seed=1)) != added(sampler())


@pytest.mark.parametrize("started", [1, 2, 4])
def test_it_goes_on_in_the_middle_of_an_epoch(started: int) -> None:
    whole = added(sampler(started=started // 3 * 3))
    assert added(sampler(started=started)) == whole[started % 3 :]


def test_processes_share_what_one_would_see() -> None:
    views = Views([torch.nn.Identity()], 0)
    one = PairedSampler(KeyedSampler(LABELLED, 8, views, lambda: 0, 1), UNLABELLED, 24, 0)
    whole = [key.samples[8:].tolist() for key in one]
    shares = [added(sampler(rank=rank, world=2)) for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


def test_more_than_there_are_is_refused() -> None:
    sampler(size=13)
    message = "unlabelled_batch_size must be at most 13: an epoch has 3 batches and there are 40"
    with pytest.raises(ValueError, match=message):
        sampler(size=14)
