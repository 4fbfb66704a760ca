"""What goes in and out of every sub-module during one forward pass."""

from typing import Any, NamedTuple

from torch import Tensor, nn


class Call(NamedTuple):
    input: Tensor
    output: Tensor
    output_then: Tensor


def calls_of(network: nn.Module, image: Tensor) -> dict[str, list[Call]]:
    """Every call of every sub-module by path, each output also as a copy made at the time."""
    calls: dict[str, list[Call]] = {name: [] for name, _ in network.named_modules() if name}
    handles = []
    for name, module in network.named_modules():
        if name:

            def keep(_: nn.Module, given: Any, output: Tensor, name: str = name) -> None:
                calls[name].append(Call(given[0], output, output.detach().clone()))

            handles.append(module.register_forward_hook(keep))
    network(image)
    for handle in handles:
        handle.remove()
    return calls
