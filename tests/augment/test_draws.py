import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import stats

from distill.augment.draws import (
    bernoulli_mask,
    from_quantiles,
    partners,
    quantiles,
    quantize,
    uniform_between,
    where_rows,
)

SAMPLES = torch.arange(20_000)


def test_numbers_are_uniform_in_their_range() -> None:
    values = uniform_between(3, SAMPLES, -2, 5)
    assert values.dtype == torch.float32
    assert stats.kstest(values.double().numpy(), stats.uniform(-2, 7).cdf).pvalue > 1e-3


def test_an_empty_range_gives_its_number_exactly() -> None:
    assert set(uniform_between(3, SAMPLES, 0.1, 0.1).tolist()) == {float(np.float32(0.1))}


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_the_share_of_chosen_samples_is_the_probability(probability: float) -> None:
    share = bernoulli_mask(3, SAMPLES, probability).double().mean().item()
    assert share == pytest.approx(probability, abs=5 * 0.5 / math.sqrt(20_000))
    if probability in (0.0, 1.0):
        assert share == probability


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 2, 2)])
def test_chosen_rows_are_the_changed_ones(shape: tuple[int, ...]) -> None:
    picked = where_rows(torch.tensor([True, False, True]), torch.ones(shape), torch.zeros(shape))
    assert picked.flatten(1 if len(shape) > 1 else 0).view(3, -1)[:, 0].tolist() == [1, 0, 1]


def test_rounding_hides_where_in_a_tensor_a_number_stood() -> None:
    values = torch.rand(1001, dtype=torch.float64) * 10 - 5
    together = quantize(values.exp())
    assert torch.equal(together, torch.stack([quantize(value.exp()) for value in values]))
    assert (together - values.exp()).abs().max() <= 2.0**-17
    assert torch.equal(together * 2.0**16, (together * 2.0**16).round())


def test_quarter_turns_are_exact() -> None:
    turns = torch.tensor([0, 90, 180, 270], dtype=torch.float64).deg2rad()
    assert quantize(turns.cos()).tolist() == [1, 0, -1, 0]
    assert quantize(turns.sin()).tolist() == [0, 1, 0, -1]


def test_a_table_of_quantiles_has_the_distribution() -> None:
    table = quantiles(NormalDist().inv_cdf)
    values = from_quantiles(table, 3, SAMPLES, 2)
    assert values.shape == (20_000, 2)
    for column in values.double().numpy().T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 1e-3
    assert torch.equal(from_quantiles(table, 3, SAMPLES[70:71], 2), values[70:71])


@pytest.mark.parametrize("n", [1, 2, 3, 64])
def test_partners_make_one_circle(n: int) -> None:
    successor = partners(3, torch.arange(n) * 7).tolist()
    seen, row = [], 0
    for _ in range(n):
        seen.append(row)
        row = successor[row]
    assert row == 0
    assert sorted(seen) == list(range(n))


def test_who_meets_does_not_depend_on_the_order() -> None:
    samples, order = torch.arange(9) * 7, torch.tensor([3, 8, 0, 1, 7, 2, 6, 5, 4])
    pairs = dict(zip(samples.tolist(), samples[partners(3, samples)].tolist(), strict=True))
    mixed = samples[order]
    assert pairs == dict(zip(mixed.tolist(), mixed[partners(3, mixed)].tolist(), strict=True))
    assert pairs != dict(zip(samples.tolist(), samples[partners(4, samples)].tolist(), strict=True))


def test_who_meets_does_not_depend_on_the_order_where_draws_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distill.augment.draws.uniform", lambda key, samples: torch.zeros(4, 1))
    samples, backwards = torch.tensor([3, 5, 8, 9]), torch.tensor([9, 8, 5, 3])
    pairs = dict(zip(samples.tolist(), samples[partners(1, samples)].tolist(), strict=True))
    again = zip(backwards.tolist(), backwards[partners(1, backwards)].tolist(), strict=True)
    assert pairs == dict(again)
