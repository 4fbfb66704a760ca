"""Tensors inside a network, for a training loop of one's own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from distill.core.suggest import nearest
from distill.wiring.tap import Taps


class Captured(Mapping[str, Tensor]):
    """The tensors of a network's last pass by path: those of layers that ran in it.

    Args:
        taps: What captures them.
        paths: What is captured.
    """

    def __init__(self, taps: Taps, paths: Sequence[str]) -> None:
        self._taps, self._paths = taps, list(paths)

    def __getitem__(self, path: str) -> Tensor:
        if path not in self._paths:
            raise KeyError(f"{path!r} is not captured{nearest(path, self._paths)}")
        if path not in self._taps.values:
            raise KeyError(f"the layer at {path!r} did not run")
        if path in self._taps.overwritten():
            told = "an operation in place overwrote it; capture with copy=True"
            raise ValueError(f"{path!r} is not what its layer gave: {told}")
        return self._taps.values[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._taps.values)

    def __len__(self) -> int:
        return len(self._taps.values)


@contextmanager
def capture(network: nn.Module, paths: Sequence[str], copy: bool = False) -> Iterator[Captured]:
    """Capture what layers of a network give, in a loop of one's own.

    The tensors are those of the network itself, so gradients flow through them. Each pass replaces
    those of the pass before; the last ones stay readable behind the block until what it gave is
    forgotten. The network is left as it was, without a hook.

    Args:
        network: Any module, not compiled yet: ``torch.compile`` it inside of the block.
        paths: Dotted paths of its layers, as in ``named_modules()``: ``PATH`` or ``PATH:output`` is
            what the layer gives, ``PATH:input`` its first input, ``PATH:0`` or ``PATH:NAME`` one of
            several outputs.
        copy: Keep copies, where the network overwrites a tensor in place after the layer.

    Yields:
        Tensors by path, of the shapes that the layers give.

    Raises:
        ValueError: If there is no such path, with the nearest one, or the network is compiled; when
            a tensor is read, if it was overwritten.
        KeyError: When a tensor is read, if it is not captured or its layer did not run.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        >>> with capture(network, ["0", "2:input"]) as taps:
        ...     loss = network(torch.ones(4, 2)).mean() + taps["0"].square().mean()
        >>> {path: tuple(tensor.shape) for path, tensor in taps.items()}
        {'0': (4, 3), '2:input': (4, 3)}
    """
    if isinstance(paths, str):
        raise ValueError(f"paths must be a list, such as [{paths!r}], got {paths!r}")
    if any(_compiled(module) for module in network.modules()):
        told = "a compiled network does not run hooks that come later"
        raise ValueError(f"{told}: capture the network itself, and compile it inside of the block")
    taps = Taps(network, paths, copy)
    begin = network.register_forward_pre_hook(lambda *_: taps.values.clear())
    try:
        yield Captured(taps, paths)
    finally:
        begin.remove()
        taps.remove()


def _compiled(module: nn.Module) -> bool:
    """Whether ``torch.compile`` made it, or it was told to ``compile()``."""
    return hasattr(module, "_orig_mod") or module._compiled_call_impl is not None
