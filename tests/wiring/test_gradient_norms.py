import torch

from distill.wiring.gradient_norms import gradient_norms


def test_norms_are_those_of_the_gradients() -> None:
    place = torch.tensor([3.0, 4.0], requires_grad=True)
    values = {"half square": place.square().sum() / 2, "second": 7 * place[1]}
    found = gradient_norms(values, place)
    assert {name: norm.item() for name, norm in found.items()} == {"half square": 5, "second": 7}


def test_a_value_that_does_not_depend_on_the_place_has_none() -> None:
    place, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    found = gradient_norms({"constant": torch.tensor(3.0), "other": other.sum()}, place)
    assert found == {"constant": 0, "other": 0}


def test_the_graph_is_kept_and_no_gradient_is_left_behind() -> None:
    weight = torch.ones(2, requires_grad=True)
    place = 2 * weight
    value = place.square().sum()
    gradient_norms({"value": value}, place)
    assert weight.grad is None
    value.backward()
    assert torch.equal(weight.grad, torch.tensor([8.0, 8.0]))


def test_half_precision_is_summed_in_float32() -> None:
    place = torch.ones(70_000, dtype=torch.bfloat16, requires_grad=True)
    norm = gradient_norms({"sum": place.sum()}, place)["sum"]
    assert norm.dtype == torch.float32
    assert abs(norm.item() - 70_000**0.5) < 1e-2
