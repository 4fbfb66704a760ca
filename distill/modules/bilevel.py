"""The gradient of a loss to architecture weights, through a step of the network's own weights.

Liu et al., DARTS, ICLR 2019, arXiv 1806.09055, equations 6 to 8. With w' = w - xi dL_train/dw the
loss L(w', alpha) of other images has the gradient

    dL/dalpha - xi [dL_train/dalpha(w+) - dL_train/dalpha(w-)] / (2 eps),

where w+ and w- are w moved by eps dL/dw' and eps = 0.01 / |dL/dw'|: the product of the training
loss's second derivative with a vector, by central differences. xi = 0 is the first order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

_EPSILON = 0.01
Loss = Callable[[], Tensor]


def architecture_gradient(
    train_loss: Loss,
    held_out_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    xi: float,
) -> tuple[Tensor, list[Tensor]]:
    """The held-out loss after a step of the weights, and its gradient to the alphas.

    Args:
        train_loss: The loss that the weights are trained on, as a function of both.
        held_out_loss: The loss that the alphas are trained on.
        weights: Moved for a while, and put back bit by bit.
        alphas: What the gradient is to.
        xi: The rate of the step, plain gradient descent.
    """
    with _put_back(weights):
        if xi:
            _move(weights, _gradients(train_loss(), weights), -xi)
        loss = held_out_loss()
        found = _gradients(loss, [*alphas, *weights])
    first, direction = found[: len(alphas)], found[len(alphas) :]
    length = torch.stack([one.double().square().sum() for one in direction]).sum().sqrt().item()
    if not xi or not length:
        return loss.detach(), first
    moved = []
    for sign in (1, -1):
        with _put_back(weights):
            _move(weights, direction, sign * _EPSILON / length)
            moved.append(_gradients(train_loss(), alphas))
    scale = xi * length / (2 * _EPSILON)
    pairs = zip(first, *moved, strict=True)
    return loss.detach(), [one - scale * (plus - minus) for one, plus, minus in pairs]


def with_gradient(value: Tensor, places: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """A scalar of a given value and a given gradient to tensors.

    Example:
        >>> place = torch.zeros(2, requires_grad=True)
        >>> loss = with_gradient(torch.tensor(3.0), [place], [torch.tensor([1.0, 2.0])])
        >>> loss.backward()
        >>> loss.item(), place.grad
        (3.0, tensor([1., 2.]))
    """
    pairs = zip(places, gradients, strict=True)
    linear = torch.stack([(place * gradient).sum() for place, gradient in pairs]).sum()
    return linear - linear.detach() + value


@contextmanager
def _put_back(tensors: Sequence[Tensor]) -> Iterator[None]:
    kept = [one.detach().clone() for one in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for one, before in zip(tensors, kept, strict=True):
                one.copy_(before)


@torch.no_grad()
def _move(tensors: Sequence[Tensor], directions: Sequence[Tensor], length: float) -> None:
    for one, direction in zip(tensors, directions, strict=True):
        one.add_(direction, alpha=length)


def _gradients(loss: Tensor, places: Sequence[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, places, allow_unused=True, materialize_grads=True))
