"""Networks of which only named parts are trained."""

from collections.abc import Mapping, Sequence

from torch import nn

from distill.core.suggest import nearest
from distill.modules.peers import check_known


class TrainedParts:
    """Parts that are trained, of networks whose rest stays as it is.

    The rest has no gradients and is kept in evaluation mode, its running statistics included.

    Args:
        networks: All networks by name.
        parts: By network, the dotted paths of the modules that are trained; none: the network is
            frozen. Networks that are not named here are trained whole.

    Raises:
        ValueError: If a network or a path is unknown, or a part has nothing that can be trained.
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], parts: Mapping[str, Sequence[str]]
    ) -> None:
        self._rest: list[nn.Module] = []
        self._parts: list[nn.Module] = []
        self.frozen = [name for name, paths in parts.items() if not paths]
        check_known("trained_parts", parts, networks)
        for name, paths in parts.items():
            network = networks[name].requires_grad_(False)
            self._rest.append(network)
            self._parts += [_part(network, name, path) for path in paths]

    def set_modes(self, training: bool) -> None:
        """Evaluation mode for the rest, the given one for the parts."""
        for network in self._rest:
            network.eval()
        for part in self._parts:
            part.train(training)


def _part(network: nn.Module, name: str, path: str) -> nn.Module:
    known = [known for known, _ in network.named_modules() if known]
    if path not in known:
        raise ValueError(f"trained_parts.{name} has no layer {path!r}{nearest(path, known)}")
    part = network.get_submodule(path)
    if not any(True for _ in part.parameters()):
        raise ValueError(f"trained_parts.{name}: {path!r} has no parameters")
    return part.requires_grad_(True)
