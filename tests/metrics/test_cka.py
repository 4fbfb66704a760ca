"""The oracle is the estimator as Song et al. (JMLR 2012) write it, by sums over quadruples."""

from itertools import permutations

import numpy as np
import pytest
import torch

from distill.metrics import LinearCKA, linear_cka

GENERATOR = torch.Generator().manual_seed(0)


def features(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=GENERATOR, dtype=torch.float64)


def quadruple_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """The U-statistic: the mean of its kernel over all ordered quadruples of different rows."""
    places = list(permutations(range(len(k)), 4))
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in places]
    return float(np.sum(terms)) / len(places)


def oracle(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    sums = np.zeros(3)
    for student, teacher in pairs:
        x, y = student.numpy(), teacher.numpy()
        k, m = x @ x.T, y @ y.T
        sums += len(x) * np.array([quadruple_hsic(*both) for both in ((k, m), (k, k), (m, m))])
    return float(sums[0] / np.sqrt(sums[1] * sums[2]))


def test_one_batch_is_the_mean_over_quadruples() -> None:
    student, teacher = features(6, 3), features(6, 5)
    expected = oracle([(student, teacher)])
    assert linear_cka(student, teacher).item() == pytest.approx(expected, abs=1e-12)


def test_batches_are_summed_by_their_rows() -> None:
    pairs = [(features(n, 3), features(n, 2)) for n in (6, 4, 5)]
    metric = LinearCKA()
    for pair in pairs:
        metric.update(*pair)
    assert metric.compute().item() == pytest.approx(oracle(pairs), abs=1e-12)


def test_one_when_rotated_scaled_and_shifted() -> None:
    student = features(20, 4)
    rotation = torch.linalg.qr(features(4, 4)).Q
    assert linear_cka(student, 3 * student @ rotation + 100).item() == pytest.approx(1, abs=1e-9)


def test_about_zero_when_independent() -> None:
    # The biased estimate of as many rows and columns is near 0.5; 4 / 200 is far outside noise.
    assert abs(linear_cka(features(200, 200), features(200, 200)).item()) < 0.02


def test_maps_of_different_shapes_compare() -> None:
    maps = features(5, 12)
    assert linear_cka(maps.view(5, 3, 2, 2), maps[:, :6].view(5, 6)).isfinite()


def test_nan_when_the_rows_of_one_are_equal() -> None:
    assert linear_cka(torch.ones(5, 3), features(5, 3)).isnan()


def test_a_rest_of_three_is_left_out() -> None:
    metric, pair = LinearCKA(), (features(8, 2), features(8, 3))
    metric.update(*pair)
    metric.update(features(3, 2), features(3, 3))
    assert metric.compute() == linear_cka(*pair)


@pytest.mark.parametrize("rows", [(5, 6), (3, 3)])
def test_rows_must_pair_and_suffice(rows: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"got shapes \({rows[0]}, 2\) and \({rows[1]}, 2\)"):
        linear_cka(features(rows[0], 2), features(rows[1], 2))
