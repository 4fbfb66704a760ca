import zlib
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import stats

from distill.core.randomness import fold, permutation, reseed, uniform

WORD = 1 << 64


class SplitMix64:
    """The generator as the paper writes it, on Python's integers."""

    def __init__(self, state: int) -> None:
        self.state = state % WORD

    def __call__(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) % WORD
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
        return z ^ (z >> 31)


def hashed(key: int, sample: int, draws: int) -> list[int]:
    """Outputs 2, 3, ... of the generator that key and sample start."""
    generator = SplitMix64(SplitMix64(SplitMix64(sample)() ^ key)())
    generator()
    return [generator() for _ in range(draws)]


def test_the_oracle_gives_the_published_sequence() -> None:
    generator = SplitMix64(1234567)
    assert [generator() for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@pytest.mark.parametrize("parts", [(0,), (1, 2), (2, 1), (-1, 7), (0, "crop", 3), (1 << 70, "")])
def test_fold_chains_the_generator_over_its_parts(parts: tuple[int | str, ...]) -> None:
    state = 0
    for part in parts:
        number = zlib.crc32(part.encode()) if isinstance(part, str) else part
        state = SplitMix64(state ^ SplitMix64(number)())()
    assert fold(*parts) == state // 2


def test_keys_have_63_bits_and_use_them_all() -> None:
    keys = [fold(seed, "order", epoch) for seed in range(20) for epoch in range(20)]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 1 << 63 for key in keys)
    assert sum(key >> 62 for key in keys) == pytest.approx(200, abs=50)  # 5 standard deviations


def test_the_order_and_the_number_of_parts_matter() -> None:
    assert len({fold(), fold(0), fold(0, 0), fold(1, 2), fold(2, 1), fold(1, "2")}) == 6


@pytest.mark.parametrize("key", [0, 1, fold(3, "crop", 9), (1 << 63) - 1])
def test_uniform_is_the_top_24_bits_of_the_hash(key: int) -> None:
    samples = [0, 1, 2, 49_999, 1 << 40, (1 << 63) - 1]
    expected = [[word // 2**40 / 2**24 for word in hashed(key, s, 3)] for s in samples]
    drawn = uniform(key, torch.tensor(samples), draws=3)
    assert drawn.dtype == torch.float32
    assert np.array_equal(drawn.numpy(), np.array(expected))


def test_a_draw_does_not_depend_on_the_batch_or_its_order() -> None:
    samples = torch.tensor([5, 3, 900, 12, 3])
    together = uniform(7, samples, draws=4)
    for row, sample in zip(together, samples, strict=True):
        assert torch.equal(row, uniform(7, sample[None], draws=4)[0])
    assert torch.equal(together.flip(0), uniform(7, samples.flip(0), draws=4))


def test_more_draws_keep_the_first_ones() -> None:
    samples = torch.arange(6)
    assert torch.equal(uniform(7, samples, draws=5)[:, :2], uniform(7, samples, draws=2))


def test_no_samples_give_no_draws() -> None:
    assert uniform(7, torch.arange(0), draws=3).shape == (0, 3)


def test_draws_are_uniform_and_independent() -> None:
    drawn = uniform(fold(0, "crop", 0), torch.arange(20_000), draws=2).numpy()
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for column in drawn.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    neighbours = [drawn[:, 0], drawn[:, 1], np.roll(drawn[:, 0], 1)]
    correlations = np.corrcoef([*neighbours, uniform(1, torch.arange(20_000))[:, 0].numpy()])
    assert np.abs(correlations - np.eye(4)).max() < 5 / 20_000**0.5  # 5 standard deviations


@pytest.mark.parametrize("n", [0, 1, 2, 57])
def test_a_permutation_sorts_the_samples_by_their_hash(n: int) -> None:
    hashes = [hashed(11, sample, 1)[0] for sample in range(n)]
    signed = [word - WORD if word >= WORD // 2 else word for word in hashes]
    order = permutation(11, n)
    assert order.dtype == torch.int64
    assert order.tolist() == sorted(range(n), key=signed.__getitem__)


def test_every_order_is_as_likely_as_any_other() -> None:
    counts = Counter(tuple(permutation(fold(seed), 3).tolist()) for seed in range(1200))
    assert set(counts) == set(permutations(range(3)))
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_reseed_sets_torchs_generator_from_the_key() -> None:
    with torch.random.fork_rng(devices=[]):
        reseed(0, "step", 5)
        drawn = torch.rand(4)
        assert torch.equal(drawn, torch.rand(4, generator=torch.manual_seed(fold(0, "step", 5))))
        reseed(0, "step", 6)
        assert not torch.equal(drawn, torch.rand(4))


def test_keyed_draws_leave_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    uniform(7, torch.arange(5))
    permutation(7, 5)
    assert torch.equal(before, torch.get_rng_state())
