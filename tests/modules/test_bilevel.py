"""A network of two layers whose hidden units are mixed by alphas, in float64."""

import torch
from torch import Tensor

from distill.modules.bilevel import architecture_gradient, with_gradient

XI = 0.3


def problem() -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
    def draw(seed: int, *shape: int) -> Tensor:
        made = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, dtype=torch.float64, generator=made)

    weights = [draw(0, 5, 4), draw(1, 3, 5)]
    alphas = [draw(2, 2, 5)]
    halves = [(draw(n, 8, 4), draw(n, 8, 1).flatten().argsort() % 3) for n in (3, 4)]
    return weights, alphas, halves


def loss(weights: list[Tensor], alphas: list[Tensor], half: tuple[Tensor, Tensor]) -> Tensor:
    image, label = half
    first, second = alphas[0].softmax(0)
    hidden = image @ weights[0].T
    logits = (first * hidden.tanh() + second * hidden.sigmoid()) @ weights[1].T
    return torch.nn.functional.cross_entropy(logits, label)


def after_a_step(
    weights: list[Tensor], alphas: list[Tensor], halves: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """The held-out loss as a function of the alphas, by autograd through the step."""
    moving = [one.detach().clone().requires_grad_() for one in weights]
    found = torch.autograd.grad(loss(moving, alphas, halves[0]), moving, create_graph=True)
    moved = [one - XI * gradient for one, gradient in zip(moving, found, strict=True)]
    return loss(moved, alphas, halves[1])


def exact() -> Tensor:
    weights, alphas, halves = problem()
    alphas[0].requires_grad_()
    return torch.autograd.grad(after_a_step(weights, alphas, halves), alphas)[0]


def ours(xi: float) -> tuple[Tensor, Tensor]:
    weights, alphas, halves = problem()
    for one in (*weights, *alphas):
        one.requires_grad_()
    losses = [lambda half=half: loss(weights, alphas, half) for half in halves]
    value, gradients = architecture_gradient(*losses, weights, alphas, xi)
    assert all(torch.equal(one, was) for one, was in zip(weights, problem()[0], strict=True))
    return value, gradients[0]


def off(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_the_oracle_is_that_of_finite_differences() -> None:
    weights, alphas, halves = problem()
    wanted, step = torch.zeros_like(alphas[0]), 1e-5
    for place in range(alphas[0].numel()):
        values = []
        for sign in (1, -1):
            moved = alphas[0].clone()
            moved.view(-1)[place] += sign * step
            values.append(after_a_step(weights, [moved], halves).detach())
        wanted.view(-1)[place] = (values[0] - values[1]) / (2 * step)
    assert off(exact(), wanted) < 1e-8


def test_the_second_order_is_that_of_autograd_through_the_step() -> None:
    """The differences' own error is of the order of the third derivative times eps squared."""
    value, gradient = ours(XI)
    assert off(gradient, exact()) < 1e-5
    torch.testing.assert_close(value, after_a_step(*problem()))


def test_neither_the_first_order_nor_the_moved_weights_alone_are() -> None:
    weights, alphas, halves = problem()
    alphas[0].requires_grad_()
    (plain,) = torch.autograd.grad(loss(weights, alphas, halves[1]), alphas)
    value, first = ours(0.0)
    torch.testing.assert_close(first, plain)
    torch.testing.assert_close(value, loss(weights, alphas, halves[1]).detach())
    assert off(first, exact()) > 1e-2
    # What is left where the term with xi is dropped.
    moving = [one.clone().requires_grad_() for one in weights]
    found = torch.autograd.grad(loss(moving, alphas, halves[0]), moving)
    moved = [(w - XI * g).detach() for w, g in zip(moving, found, strict=True)]
    (dropped,) = torch.autograd.grad(loss(moved, alphas, halves[1]), alphas)
    assert off(dropped, exact()) > 1e-2


def test_weights_that_do_not_matter_are_left_alone() -> None:
    alpha, weight = torch.tensor(2.0, requires_grad=True), torch.ones(3, requires_grad=True)
    value, gradients = architecture_gradient(
        lambda: (weight**2).sum(), lambda: alpha**2, [weight], [alpha], 0.1
    )
    assert (value.item(), gradients[0].item()) == (4.0, 4.0)
    assert torch.equal(weight, torch.ones(3))


def test_a_loss_has_the_gradient_that_it_is_given() -> None:
    places = [torch.randn(2, requires_grad=True), torch.randn(3, requires_grad=True)]
    wanted = [torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.0, 3.0])]
    made = with_gradient(torch.tensor(7.0), places, wanted)
    found = torch.autograd.grad(made, places)
    assert made.item() == 7.0
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
