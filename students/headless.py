"""A network without its classifier, for embeddings."""

from torch import nn


def headless(network: nn.Module, head: str = "fc") -> nn.Module:
    """Take the classifier off a network, so that it gives what the classifier was given.

    For students and for teachers, such as ``teachers.from_run``. The layer becomes an identity:
    every other path and weight is as before. ``docs/students.md`` has the paths of heads, those of
    its embeddings without ``:input``. Models of timm do the same with ``num_classes: 0``.

    Args:
        network: Changed in place.
        head: Path of its last layer.

    Raises:
        ValueError: If there is no such layer.

    Example:
        >>> import torch
        >>> from students import resnet8
        >>> headless(resnet8(num_classes=10))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 64])
    """
    layers = [name for name, _ in network.named_modules() if name]
    if head not in layers:
        last = layers[-1] if layers else "none"
        kind = type(network).__name__
        raise ValueError(f"head {head!r} is no layer of {kind}, its last one is {last}")
    network.set_submodule(head, nn.Identity())
    vars(network).pop("trained_classes", None)  # an embedding has no order of classes
    return network
