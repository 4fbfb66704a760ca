"""Taps: tensors captured inside a network while it runs, named by dotted path."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from distill.core.suggest import nearest


class Taps:
    """Captures outputs or inputs of sub-modules during a forward pass.

    Taps are forward hooks, so they must be there before ``torch.compile`` sees the network. Where a
    module runs more than once in a pass, the last time counts.

    Args:
        network: Any module.
        paths: Dotted paths of its sub-modules, as in ``named_modules()``; ``PATH`` means the
            output, ``PATH:input`` the first input, and ``PATH:0`` or ``PATH:NAME`` one of several
            outputs.
        copy: Whether to copy what is captured, in case it is overwritten.

    Attributes:
        values: The tensors of the last pass, by path.

    Raises:
        ValueError: If there is no such path, with the nearest one.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> taps = Taps(network, ["0", "1:input"])
        >>> _ = network(torch.ones(4, 2))
        >>> {path: tuple(value.shape) for path, value in taps.take().items()}
        {'0': (4, 3), '1:input': (4, 3)}
    """

    def __init__(self, network: nn.Module, paths: Iterable[str], copy: bool = False) -> None:
        names = list(dict.fromkeys(paths))
        self.values: dict[str, Tensor] = {}
        self._versions: dict[str, int] = {}
        self._copied = set(names) if copy else set()
        self._shapes: dict[str, set[tuple[int, ...]]] = {}
        self._checked = False
        self._handles: list[Any] = []
        try:
            for name in names:
                self._handles.append(self._install(network, name))
        except ValueError:
            self.remove()
            raise

    def take(self) -> dict[str, Tensor]:
        """The tensors of the last pass; the taps let go of them."""
        values = dict(self.values)
        self.values.clear()
        return values

    def find_in_place(self) -> set[str]:
        """After a pass, find the tensors that the network overwrote; from now on they are copied.

        An in-place ReLU or ``+=`` after the tapped place would silently change what was captured.

        Returns:
            The paths that will be copied.
        """
        self._copied |= self.overwritten()
        return set(self._copied)

    def overwritten(self) -> set[str]:
        """The paths of tensors of the last pass that the network has overwritten since."""
        plain = {path: value for path, value in self.values.items() if not value.is_inference()}
        return {path for path, value in plain.items() if value._version != self._versions[path]}

    def check_shapes(self) -> None:
        """After the first pass, check that no layer ran with tensors of different shapes.

        Raises:
            ValueError: If one did, as a head that all levels of a pyramid share.
        """
        self._checked = True
        for path, shapes in self._shapes.items():
            if len(shapes) > 1:
                told = " and ".join(str(shape) for shape in sorted(shapes, reverse=True))
                raise ValueError(f"the layer at {path!r} runs more than once, with shapes {told}")

    def remove(self) -> None:
        """Take the hooks off again."""
        for handle in self._handles:
            handle.remove()

    def _install(self, network: nn.Module, path: str) -> Any:  # noqa: ANN401 - torch's handle
        name, _, side = path.partition(":")
        modules = dict(network.named_modules())
        if name not in modules or not name:
            raise ValueError(
                f"no layer {name!r} in {type(network).__name__}{nearest(name, modules)}"
            )
        if path.endswith(":"):
            raise ValueError(f"{path!r} must end in ':input', ':output' or the name of an output")
        if side == "input":
            return modules[name].register_forward_pre_hook(self._input_hook(path))
        one = "" if side == "output" else side
        return modules[name].register_forward_hook(self._output_hook(path, one))

    def _input_hook(self, path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def capture(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            self._keep(path, arguments[0])

        return capture

    def _output_hook(
        self, path: str, one: str
    ) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def capture(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
            self._keep(path, _one_of(output, one, path) if one else output)

        return capture

    def _keep(self, path: str, value: Any) -> None:  # noqa: ANN401 - whatever the module gives
        if not isinstance(value, Tensor):
            raise ValueError(f"the layer at {path!r} gives a {type(value).__name__}, not a tensor")
        if not self._checked:
            self._shapes.setdefault(path, set()).add(tuple(value.shape))
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            # Nothing tells whether it is overwritten.
            self.values[path] = value.clone()
            return
        self.values[path] = value.clone() if path in self._copied else value
        self._versions[path] = value._version


def _one_of(output: Any, name: str, path: str) -> Any:  # noqa: ANN401 - whatever the module gives
    """One of a layer's several outputs, by its place or its name."""
    if isinstance(output, (list, tuple)) and name.isdigit() and int(name) < len(output):
        return output[int(name)]
    if isinstance(output, Mapping) and name in output:
        return output[name]
    raise ValueError(f"the layer gives a {type(output).__name__} without {name!r}, in {path!r}")
