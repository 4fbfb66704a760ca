"""Removes channels from a network, as a whole: smaller layers under the same paths."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distill.compress.importance import CRITERIA, Group, importance
from distill.compress.quantizer import Quantizer
from distill.compress.shapes import SIZED, take_widths_from_weights
from distill.core.suggest import nearest
from distill.metrics import cost

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm)
Block = tuple[float, Group, Tensor]


def pruned(
    model: nn.Module,
    image: Sequence[int],
    flops: float,
    criterion: str = "l2",
    block: int = 8,
    keep: Sequence[str] = (),
    spread: str = "global",
) -> nn.Module:
    """Cut the least important channels of a network until few enough operations are left.

    Layers that share channels are cut together (Fang et al., CVPR 2023, arXiv 2301.12900). Widths
    shrink in blocks, at least one of each group stays, and groups below two blocks stay whole. The
    network keeps its paths, and takes its widths from weights that are loaded later.

    Args:
        model: The network, trained: importances are of its weights. Changed in place.
        image: Channels, height and width of an image.
        flops: The share of operations that may be left, in (0, 1]; 1 cuts nothing.
        criterion: ``l1``, ``l2``, ``bn``, ``fpgm`` or ``random``.
        block: Channels that go together: 8 or 16 are fast on CPUs, 1 often is not.
        keep: Modules whose output stays as wide as it is.
        spread: ``global`` ranks the blocks of all groups together, ``uniform`` cuts every group
            alike.

    Raises:
        ValueError: If an argument is out of range or names no module, if so few operations cannot
            be reached, or if the network cannot be followed or is quantised already.
    """
    _check(flops, criterion, block, spread)
    if any(isinstance(module, Quantizer) for module in model.modules()):
        raise ValueError("model: it is quantised already: prune first, then quantise")
    picture = cost.dummy_image(tuple(image))
    if flops < 1:
        state = model.state_dict()
        groups = _groups(model, picture, _kept(model, picture, keep))
        blocks = sorted(
            (b for group in groups for b in _blocks(group, state, criterion, block, spread)),
            key=lambda found: found[0],
        )
        state = _cut_to(model, picture, blocks, flops)
        take_widths_from_weights(model, picture)
        model.load_state_dict(state)
    else:
        take_widths_from_weights(model, picture)
    return model


def _check(flops: float, criterion: str, block: int, spread: str) -> None:
    if not 0 < flops <= 1:
        raise ValueError(f"flops must be above 0 and at most 1, but is {flops}")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}, but is {criterion!r}")
    if block < 1:
        raise ValueError(f"block must be at least 1, but is {block}")
    if spread not in ("global", "uniform"):
        raise ValueError(f"spread must be global or uniform, but is {spread!r}")


def _kept(model: nn.Module, image: Tensor, keep: Sequence[str]) -> set[nn.Module]:
    """The layers that make the network's output and the outputs that stay: those called last."""
    paths: dict[nn.Module, str] = {
        layer: path for path, layer in model.named_modules() if isinstance(layer, SIZED)
    }
    called: list[nn.Module] = []
    hooks = [layer.register_forward_hook(lambda layer, *_: called.append(layer)) for layer in paths]
    try:
        cost.flops(model, image)
    finally:
        for hook in hooks:
            hook.remove()
    found = set(called[-1:])
    for path in keep:
        under = [m for m in called if paths[m] == path or paths[m].startswith(f"{path}.")]
        if not under:
            known = {name for name, _ in model.named_modules()}
            hint = "" if path in known else nearest(path, known)
            raise ValueError(f"keep: {path} holds no layer with channels{hint}")
        found.add(under[-1])
    return found


def _groups(model: nn.Module, image: Tensor, kept: set[nn.Module]) -> list[Group]:
    try:
        import torch_pruning
    except ImportError as error:
        raise ValueError("pruning needs torch-pruning: pip install 'distill[compress]'") from error
    twin = copy.deepcopy(model).eval().requires_grad_(True)
    stays = {twin.get_submodule(path) for path, layer in model.named_modules() if layer in kept}
    names = {layer: path for path, layer in twin.named_modules()}
    try:
        with torch.enable_grad():
            graph = torch_pruning.DependencyGraph().build_dependency(twin, image, verbose=False)
        found = [(list(group), group[0].dep.target.module) for group in graph.get_all_groups()]
    except Exception as error:  # whatever a graph that it cannot follow raises
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{type(model).__name__} cannot be pruned: {told}") from error
    made = graph.is_out_channel_pruning_fn
    groups = []
    for items, root in found:
        if not any(d.target.module in stays and made(d.handler) for d, _ in items):
            groups.append(_group(names, root, items, made))
    return groups


def _group(names: dict[nn.Module, str], root: nn.Module, items: Any, made: Any) -> Group:  # noqa: ANN401
    """Turn a group of torch-pruning's into entries of tensors."""
    places: dict[tuple[str, int], set[tuple[int, int]]] = {}
    scales = set()
    for item in items:
        dep = item.dep
        layer = dep.target.module
        if not _cuttable(layer, names.get(layer, names[root])):
            continue
        path, groups = names[layer], getattr(layer, "groups", 1)
        whole = isinstance(layer, _NORMS) or groups > 1 or made(dep.handler)
        pairs = set(zip(item.idxs, item.root_idxs, strict=True))
        for name, tensor in layer.state_dict().items():
            if tensor.ndim and (whole or name == "weight"):
                places.setdefault((f"{path}.{name}", 0 if whole else 1), set()).update(pairs)
        if isinstance(layer, nn.modules.batchnorm._NormBase):
            scales.add(f"{path}.weight")
    width = 1 + max(channel for pairs in places.values() for _, channel in pairs)
    sorted_places = {place: torch.tensor(sorted(pairs)) for place, pairs in places.items()}
    return Group(names[root], width, sorted_places, frozenset(scales))


def _cuttable(layer: Any, path: str) -> bool:  # noqa: ANN401 - a module, parameter or operation
    """Whether a layer has widths of its own; refuses what has them and cannot be cut."""
    if isinstance(layer, SIZED):
        groups, channels = getattr(layer, "groups", 1), getattr(layer, "in_channels", 1)
        if groups not in (1, channels):
            raise ValueError(f"{path} cannot be pruned: its channels are in {groups} groups")
        return True
    if isinstance(layer, nn.Parameter) or any(True for _ in layer.parameters()):
        raise ValueError(f"{path} cannot be pruned: a {type(layer).__name__} has its width")
    return False


def _blocks(
    group: Group, tensors: dict[str, Tensor], criterion: str, block: int, spread: str
) -> list[Block]:
    """The blocks of a group that may go, the least important first."""
    rated = importance(group, tensors, criterion)
    order = rated.argsort(stable=True)
    count = group.width // block - 1 if group.width >= block else 0
    parts = [order[i * block : (i + 1) * block] for i in range(count)]
    if spread == "uniform":
        return [(i / (count + 1), group, part) for i, part in enumerate(parts)]
    return [(rated[part].mean().item(), group, part) for part in parts]


def _cut_to(
    model: nn.Module, image: Tensor, blocks: list[Block], target: float
) -> dict[str, Tensor]:
    """Bisect the number of blocks to the largest network within the target."""
    dense = cost.flops(model, image)
    low, high = 0, len(blocks)
    least = _share(model, image, blocks, dense)
    if least > target:
        told = f"flops: {target} cannot be reached, only {least:.3f}: a smaller block, or less kept"
        raise ValueError(told)
    while high - low > 1:
        middle = (low + high) // 2
        if _share(model, image, blocks[:middle], dense) <= target:
            high = middle
        else:
            low = middle
    return _cut(model, blocks[:high])


def _share(model: nn.Module, image: Tensor, blocks: list[Block], dense: int) -> float:
    trial = copy.deepcopy(model)
    take_widths_from_weights(trial, image)
    try:
        trial.load_state_dict(_cut(model, blocks))
    except RuntimeError as error:
        told = str(error).splitlines()[-1].strip()
        raise ValueError(f"{type(model).__name__} cannot be pruned: {told}") from error
    return cost.flops(trial, image) / dense


def _cut(model: nn.Module, blocks: list[Block]) -> dict[str, Tensor]:
    """The weights without the channels of some blocks."""
    state = dict(model.state_dict())
    stays: dict[tuple[str, int], Tensor] = {}
    for _, group, channels in blocks:
        for (name, axis), pairs in group.places.items():
            width = state[name].shape[axis]
            mask = stays.setdefault((name, axis), torch.ones(width, dtype=torch.bool))
            mask[pairs[torch.isin(pairs[:, 1], channels), 0]] = False
    for (name, axis), mask in stays.items():
        state[name] = state[name].index_select(axis, mask.nonzero().flatten())
    return state
