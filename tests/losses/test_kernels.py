import pytest
import torch

from distill.losses.kernels import centered_gram, distances, squared_distances


@pytest.mark.parametrize(("gap", "apart"), [(3e-5, True), (1e-3, True), (3e-6, False)])
def test_pairs_are_one_point_below_a_hundred_thousandth_of_the_largest_distance(
    gap: float, apart: bool
) -> None:
    rows = torch.tensor([[0.0, 0.0], [gap, 0.0], [0.0, 1.0]], dtype=torch.float64)
    gram = centered_gram(rows)
    found, mask = distances(gram)
    assert mask[0, 1].item() == apart
    assert found[0, 1].item() == pytest.approx(gap if apart else 0.0, rel=1e-6)
    assert found[0, 2].item() == pytest.approx(1.0)
    assert squared_distances(gram)[1].tolist() == mask.tolist()


def test_a_pair_of_near_rows_has_the_gradient_of_its_direction() -> None:
    rows = torch.tensor([[0.0, 0.0], [3e-5, 4e-5], [0.0, 1.0]], dtype=torch.float64)
    rows.requires_grad_()
    distances(centered_gram(rows))[0][0, 1].backward()
    assert rows.grad is not None
    expected = torch.tensor([[-0.6, -0.8], [0.6, 0.8], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(rows.grad, expected, atol=1e-5, rtol=0)
