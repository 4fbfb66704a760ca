"""Checks of the size of images, in front of a network's first layer."""

from functools import partial

from torch import Tensor, nn


def needs_size(network: nn.Module, name: str, size: int) -> None:
    """Make a network refuse all images but those of one size.

    Args:
        network: Takes images (b, c, h, w); calling it then raises a ValueError for another size.
        name: Names the network in the message.
        size: Height and width in pixels.

    Example:
        >>> import torch
        >>> network = nn.Flatten()
        >>> needs_size(network, "flatten", 8)
        >>> network(torch.zeros(2, 1, 8, 9))
        Traceback (most recent call last):
        ValueError: flatten needs images of 8x8 pixels, got 8x9
    """
    network.register_forward_pre_hook(partial(_exactly, name, size))


def needs_at_least(network: nn.Module, name: str, size: int) -> None:
    """Make a network refuse images lower or narrower than a size, as :func:`needs_size`."""
    network.register_forward_pre_hook(partial(_at_least, name, size))


def _exactly(name: str, size: int, network: nn.Module, arguments: tuple[Tensor]) -> None:
    height, width = arguments[0].shape[-2:]
    if (height, width) != (size, size):
        raise ValueError(f"{name} needs images of {size}x{size} pixels, got {height}x{width}")


def _at_least(name: str, size: int, network: nn.Module, arguments: tuple[Tensor]) -> None:
    height, width = arguments[0].shape[-2:]
    if min(height, width) < size:
        message = f"{name} needs images of at least {size}x{size} pixels"
        raise ValueError(f"{message}, got {height}x{width}")
