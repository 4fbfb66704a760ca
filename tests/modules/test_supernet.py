import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from distill.core.randomness import fold, uniform
from distill.modules.supernet import choice, expected_cost, gumbel, shares, softmax, strongest
from students import MixedCells

OPS = ["none", "skip", "sep3", "conv3"]


def supernet(nodes: int = 2) -> MixedCells:
    torch.manual_seed(0)
    made = MixedCells(3, 1, cells=2, width=4, nodes=nodes, reduce_at=[1], ops=OPS)
    for kind, alphas in made.alphas.items():
        made.alphas[kind] = torch.nn.Parameter(torch.randn(alphas.shape))
    return made


def test_paths_are_drawn_as_often_as_the_softmax_says() -> None:
    made, draws = supernet(), 4000
    total = sum(gumbel(made, 1.0, key)["normal"].detach() for key in range(draws))
    shares_ = (total / draws).double()
    wanted = made.alphas["normal"].detach().double().softmax(1)
    error = (wanted * (1 - wanted) / draws).sqrt()
    assert ((shares_ - wanted).abs() < 4.5 * error).all()


def test_a_draw_follows_from_its_key_and_not_from_the_temperature() -> None:
    made = supernet()
    one, other = (gumbel(made, t, 7)["reduce"] for t in (1.0, 0.1))
    assert torch.equal(one, gumbel(made, 1.0, 7)["reduce"])
    assert torch.equal(one.round(), other.round())
    assert any(not torch.equal(one, gumbel(made, 1.0, key)["reduce"]) for key in range(3))
    assert not torch.equal(gumbel(made, 1.0, 7)["normal"], one)


def test_a_drawn_path_is_alone_and_has_the_gradient_of_the_softmax_with_noise() -> None:
    """Of y = softmax((alpha + g) / t): dy_c / dalpha_j = y_c ([c = j] - y_j) / t."""
    made, key, t = supernet(), 3, 0.7
    alphas = made.alphas["normal"]
    path = gumbel(made, t, key)["normal"]
    assert ((path == 0).sum(1) == len(OPS) - 1).all()
    torch.testing.assert_close(path.sum(1), torch.ones(len(path)))
    drawn = uniform(fold(key, "normal"), torch.arange(5), len(OPS)).double().numpy() + 2.0**-25
    noisy = np.exp((alphas.detach().double().numpy() - np.log(-np.log(drawn))) / t)
    y = noisy / noisy.sum(1, keepdims=True)
    for edge in range(5):
        c = int(path[edge].argmax())
        assert c == y[edge].argmax()
        (found,) = torch.autograd.grad(path[edge, c], alphas, retain_graph=True)
        wanted = np.zeros((5, len(OPS)))
        wanted[edge] = y[edge, c] * ((np.arange(len(OPS)) == c) - y[edge]) / t
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


def test_the_strongest_is_one_operation_of_each_edge() -> None:
    made = supernet()
    found = strongest(made)["normal"]
    assert torch.equal(found.argmax(1), made.alphas["normal"].argmax(1))
    assert torch.equal(found.sum(1), torch.ones(5))


def test_none_is_in_the_mixture_and_no_choice() -> None:
    alphas = torch.tensor([[200.0, 1.0, 0.0, 0.0]])
    e = np.e
    wanted = torch.tensor([[0.0, e / (e + 2), 1 / (e + 2), 1 / (e + 2)]])
    torch.testing.assert_close(choice(alphas, OPS), wanted)


def test_two_edges_of_a_node_are_kept() -> None:
    edges = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2)]
    assert shares(edges).tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3, 2 / 3, 1])


@pytest.mark.parametrize("name", ["flops", "parameters"])
def test_the_expected_cost_is_the_mean_over_all_designs(name: str) -> None:
    """Both kinds of cell, all operations but none, and all pairs of the second node's edges."""
    made = supernet()
    costs = made.costs((1, 7, 7))
    skeleton, of_ops = costs[name]
    wanted = skeleton
    for kind in ("normal", "reduce"):
        p = made.alphas[kind].detach().double()[:, 1:].softmax(1).numpy()
        cost, mean = of_ops[kind].double().numpy()[1:], 0.0
        for pair in ([2, 3], [2, 4], [3, 4]):
            for ks in itertools.product(range(3), repeat=4):
                edges = [0, 1, *pair]
                chance = np.prod([p[e, k] for e, k in zip(edges, ks, strict=True)]) / 3
                mean += chance * sum(cost[k] for k in ks)
        wanted += mean
    assert expected_cost(made, costs, name).item() == pytest.approx(wanted, rel=1e-5)


def test_the_expected_cost_pulls_at_dear_operations() -> None:
    made = supernet()
    expected_cost(made, made.costs((1, 7, 7)), "flops").backward()
    gradient: Tensor = made.alphas["normal"].grad
    assert (gradient[:, 3] > 0).all()
    assert (gradient[:, 1] < 0).all()
    assert not gradient[:, 0].any()


def test_the_softmax_is_by_edge() -> None:
    assert torch.equal(softmax(supernet())["normal"].sum(1).round(decimals=5), torch.ones(5))
