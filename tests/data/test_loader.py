import pytest
import torch
from torch import nn

from distill.data.datasets import InMemoryImages
from distill.data.loader import KeyedLoader, KeyedSampler, SequentialBatchSampler, Views

IDS = torch.arange(0, 66, 3)  # 22 samples


def sampler(started: int = 0, batch_size: int = 4, seed: int = 0, rank: int = 0, world: int = 1):
    length = len(IDS) // (batch_size * world)
    views = Views([nn.Identity()], seed)
    return KeyedSampler(IDS, batch_size, views, lambda: started, length, rank, world)


def names(keys) -> list[tuple[int, list[int]]]:
    return [(key.epoch, key.samples.tolist()) for key in keys]


def table() -> InMemoryImages:
    images = torch.arange(66 * 6, dtype=torch.int64).remainder(251).to(torch.uint8)
    return InMemoryImages(images.reshape(66, 1, 2, 3), torch.arange(66) % 5, IDS)


def test_an_epoch_gives_whole_batches_of_different_samples() -> None:
    keys = names(sampler())
    assert len(keys) == len(sampler()) == 5
    assert [(epoch, len(samples)) for epoch, samples in keys] == [(0, 4)] * 5
    drawn = [number for _, samples in keys for number in samples]
    assert len(set(drawn)) == 20
    assert set(drawn) <= set(IDS.tolist())


def test_no_sample_is_left_out_for_ever() -> None:
    epochs = [names(sampler(started=5 * epoch)) for epoch in range(12)]
    seen = {number for keys in epochs for _, samples in keys for number in samples}
    assert seen == set(IDS.tolist())


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first = names(sampler())
    assert first == names(sampler())
    second = names(sampler(started=5))
    assert {epoch for epoch, _ in second} == {1}
    assert [samples for _, samples in first] != [samples for _, samples in second]
    assert first != names(sampler(seed=1))


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    fours = torch.cat([key.samples for key in sampler(batch_size=4)])
    twos = torch.cat([key.samples for key in sampler(batch_size=2)])
    assert torch.equal(fours, twos[:20])


@pytest.mark.parametrize("started", [0, 3, 5, 12])
def test_batches_are_numbered_through_the_run(started: int) -> None:
    left = 5 - started % 5
    assert [key.step for key in sampler(started)] == list(range(started, started + left))
    for rank in range(2):
        assert [key.step for key in sampler(world=2, rank=rank)] == [0, 1]
    assert [batch.step for batch in KeyedLoader(table(), sampler(started), 0)] == list(
        range(started, started + left)
    )


@pytest.mark.parametrize("started", range(11))
def test_a_run_goes_on_in_mid_epoch(started: int) -> None:
    whole = [names(sampler(started=5 * epoch)) for epoch in range(3)]
    assert names(sampler(started)) == whole[started // 5][started % 5 :]


def test_the_place_is_asked_anew_for_each_pass() -> None:
    places = iter([0, 3, 5])
    one = KeyedSampler(IDS, 4, Views([nn.Identity()], 0), lambda: next(places), 5)
    assert names(one) == names(sampler(0))
    assert names(one) == names(sampler(3))
    assert names(one) == names(sampler(5))


def test_a_limited_epoch_is_the_beginning_of_a_whole_one() -> None:
    limited = KeyedSampler(IDS, 4, Views([nn.Identity()], 0), lambda: 0, 2)
    assert len(limited) == 2
    assert names(limited) == names(sampler())[:2]


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_each_global_batch(world: int) -> None:
    ranks = [list(sampler(batch_size=2, rank=rank, world=world)) for rank in range(world)]
    whole = list(sampler(batch_size=2 * world))
    assert {len(keys) for keys in ranks} == {len(whole)}
    for parts, together in zip(zip(*ranks, strict=True), whole, strict=True):
        assert torch.equal(torch.cat([part.samples for part in parts]), together.samples)
    drawn = [{int(i) for key in keys for i in key.samples} for keys in ranks]
    assert sum(len(mine) for mine in drawn) == len(set.union(*drawn))


@pytest.mark.parametrize("batch_size", [1, 4, 11, 22, 50])
def test_evaluation_gives_every_sample_once_in_order(batch_size: int) -> None:
    in_order = SequentialBatchSampler(IDS, batch_size)
    keys = list(in_order)
    assert len(keys) == len(in_order)
    assert torch.equal(torch.cat([key.samples for key in keys]), IDS)
    assert {key.epoch for key in keys} == {0}
    assert all(len(key.samples) == batch_size for key in keys[:-1])


@pytest.mark.parametrize("started", [0, 7])
def test_no_workers_and_two_workers_give_equal_batches(started: int) -> None:
    alone = list(KeyedLoader(table(), sampler(started), workers=0))
    helped = list(KeyedLoader(table(), sampler(started), workers=2))
    assert len(alone) == len(helped) == 5 - started % 5
    for one, other in zip(alone, helped, strict=True):
        assert one.epoch == other.epoch == started // 5
        assert one.step == other.step
        for name in ("image", "target", "index"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_a_batch_holds_the_samples_of_its_key() -> None:
    samples = table()
    for key, batch in zip(sampler(), KeyedLoader(samples, sampler(), 0), strict=True):
        assert torch.equal(batch.index, key.samples)
        assert torch.equal(batch.image, samples.images[key.samples])
        assert torch.equal(batch.target, key.samples % 5)


def test_a_loader_has_no_state() -> None:
    loader = KeyedLoader(table(), sampler(), 0)
    before = [batch.index.tolist() for batch in loader]
    assert loader.state_dict() == {}
    loader.load_state_dict({})
    assert [batch.index.tolist() for batch in loader] == before
    assert len(loader) == 5
