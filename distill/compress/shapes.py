"""A network that takes its widths from the weights that are loaded into it."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from distill.compress.quantizer import Quantizer

SIZED = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._NormBase, nn.LayerNorm)
"""The layers whose widths may change."""


def take_widths_from_weights(network: nn.Module, image: Tensor) -> None:
    """Let ``load_state_dict`` give a network's layers the widths of the tensors it loads.

    Args:
        network: Changed in place; ``widths_from_weights`` tells that it was.
        image: What the network takes (1, c, h, w); widths with which it does not are refused.
    """
    network.widths_from_weights = True  # type: ignore[assignment]
    network.register_load_state_dict_pre_hook(partial(_load, image))  # type: ignore[no-untyped-call]


def _load(
    image: Tensor,
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    prefix: str,
    metadata: Any,  # noqa: ANN401 - torch's
    strict: bool,
    *lists: list[str],
) -> None:
    own = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
    now = network.state_dict()
    if all(now[name].shape == own[name].shape for name in now.keys() & own.keys()):
        return
    trial = copy.deepcopy(network).cpu().float().eval()
    _resize(trial, own)
    try:
        with torch.no_grad():
            trial(image)
    except (RuntimeError, ValueError) as error:
        told = str(error).splitlines()[0]
        lists[-1].append(f"widths that do not fit each other: {told}")
        return
    _resize(network, own)


def _resize(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    for path, layer in network.named_modules():
        step = tensors.get(f"{path}.step")
        if isinstance(layer, Quantizer) and step is not None and step.shape != layer.step.shape:
            layer.step.data = layer.step.new_zeros(step.shape)
        weight = tensors.get(f"{path}.weight" if path else "weight")
        if not isinstance(layer, SIZED) or weight is None or weight.shape == layer.weight.shape:
            continue
        if weight.ndim != layer.weight.ndim:
            continue  # another layer altogether: torch says so
        for name, old in [*layer.named_parameters(recurse=False), *layer.named_buffers()]:
            if old.ndim:
                shape = weight.shape if name == "weight" else weight.shape[:1]
                old.data = old.new_zeros(shape)
        _describe(layer, weight)


def _describe(layer: nn.Module, weight: Tensor) -> None:
    """Set the attributes of a layer that say how wide it is."""
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = weight.shape
    elif isinstance(layer, nn.modules.batchnorm._NormBase):
        layer.num_features = len(weight)
    elif isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = tuple(weight.shape)
    elif isinstance(layer, nn.modules.conv._ConvNd):
        depthwise = layer.groups == layer.in_channels > 1
        layer.groups = len(weight) if depthwise else layer.groups
        layer.out_channels = len(weight)
        layer.in_channels = weight.shape[1] * layer.groups
