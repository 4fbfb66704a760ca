"""Finds, in one pass, what layers and sums read, who made it and whether it is below 0."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from distill.core.randomness import fold

_MEANS = {"mean", "avg_pool2d", "adaptive_avg_pool2d"}
_CHAINED = {"batch_norm", "relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu"}
"""What goes on with a convolution's output."""
_SUMS = {"add", "add_", "__add__", "__iadd__", "__radd__", "cat", "concat", "concatenate"}
# A tensor as it was then: operations in place keep the object and change its version.
_Seen = tuple[int, int]


@dataclass(frozen=True)
class Places:
    """Where a network is to round.

    Args:
        layers: Names of the layers that ran, in that order, with whether their input is signed.
        outputs: Names of modules whose output sums or concatenations read, or layers and something
            else, or, where a convolution made it, a mean over a map, with whether it is signed.
        rounded: Layers that read one of these outputs and nothing else.
    """

    layers: dict[str, bool]
    outputs: dict[str, bool]
    rounded: frozenset[str]


@dataclass
class _Record:
    """What one pass saw."""

    readers: dict[_Seen, set[str]] = field(default_factory=lambda: defaultdict(set))
    makers: dict[_Seen, list[str]] = field(default_factory=lambda: defaultdict(list))
    signed: dict[_Seen, bool] = field(default_factory=dict)
    inputs: dict[str, set[_Seen]] = field(default_factory=lambda: defaultdict(set))
    convolved: set[_Seen] = field(default_factory=set)
    runs: Counter[str] = field(default_factory=Counter)
    kept: list[Tensor] = field(default_factory=list)

    def seen(self, tensor: Tensor) -> _Seen:
        """Its key; it is kept alive so that no other tensor gets its number."""
        with torch._C.DisableTorchFunction():
            key = (id(tensor), tensor._version)
            if key not in self.signed:
                self.kept.append(tensor)
                self.signed[key] = bool(tensor.is_floating_point() and (tensor < 0).any())
        return key


def find_places(model: nn.Module, image: Sequence[int], layers: Sequence[str]) -> Places:
    """Run the network once on two keyed images and say where it reads and sums.

    Args:
        model: The network; its modes and statistics stay as they are.
        image: Channels, height and width.
        layers: Names of the layers that will be quantised.

    Raises:
        ValueError: If the network refuses such images.
    """
    record = _Record()
    parameter = next(model.parameters())
    generator = torch.Generator().manual_seed(fold("compress", "image"))
    images = torch.randn((2, *image), generator=generator).to(parameter.device, parameter.dtype)
    with _evaluating(model), _recording(model, record, layers), torch.no_grad():
        try:
            with _Reads(record):
                model(images)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            told = f"{list(image)}: {error}".partition("\n")[0]
            raise ValueError(f"image: the network refuses images of {told}") from None
    return _places(record)


def _places(record: _Record) -> Places:
    outputs: dict[str, bool] = {}
    carried: set[_Seen] = set()
    for key, makers in record.makers.items():
        read = record.readers.get(key, set())
        maker = next((name for name in makers if record.runs[name] == 1 and name), None)
        # A runtime computes a convolution in integers only where its output is rounded.
        averaged = "mean" in read and key in record.convolved
        if maker and ("sum" in read or ("layer" in read and len(read) > 1) or averaged):
            outputs[maker] = record.signed[key]
            carried.add(key)
    return Places(
        {n: any(record.signed[key] for key in keys) for n, keys in record.inputs.items()},
        outputs,
        frozenset(name for name, keys in record.inputs.items() if keys <= carried),
    )


class _Reads(TorchFunctionMode):
    """Notes which tensors sums, layers and others read."""

    def __init__(self, record: _Record) -> None:
        super().__init__()
        self.record = record

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        read = [x for x in tree_leaves((args, kwargs or {})) if type(x) is Tensor]
        keys = [(id(x), x._version) for x in read]
        self.record.kept += read
        result = func(*args, **(kwargs or {}))
        if any(isinstance(x, Tensor) for x in tree_leaves(result)):
            name = getattr(func, "__name__", "")
            for key in keys:
                self.record.readers[key].add(_kind(name))
            chained = name in _CHAINED and not self.record.convolved.isdisjoint(keys)
            if (name == "conv2d" or chained) and isinstance(result, Tensor):
                self.record.convolved.add(self.record.seen(result))
        return result


def _kind(name: str) -> str:
    """What a function does with what it reads."""
    if name in ("conv2d", "linear"):
        return "layer"
    return "sum" if name in _SUMS else "mean" if name in _MEANS else "other"


@contextmanager
def _recording(model: nn.Module, record: _Record, layers: Sequence[str]) -> Iterator[None]:
    def made(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401
            record.runs[name] += 1
            if isinstance(output, Tensor):
                record.makers[record.seen(output)].append(name)

        return hook

    def reads(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any) -> None:  # noqa: ANN401
            record.inputs[name].add(record.seen(args[0]))

        return hook

    handles = [
        *(module.register_forward_hook(made(name)) for name, module in model.named_modules()),
        *(model.get_submodule(name).register_forward_pre_hook(reads(name)) for name in layers),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
