"""The layers inside feature losses, in numpy."""

import math

import numpy as np
from scipy.signal import correlate2d
from torch import nn


def convolved(convolution: nn.Conv2d, maps: np.ndarray) -> np.ndarray:
    """Stride 1, zero padding that keeps the size."""
    weight = convolution.weight.detach().numpy()
    outputs, inputs = weight.shape[:2]
    found = np.zeros((len(maps), outputs, *maps.shape[2:]))
    for b in range(len(maps)):
        for o in range(outputs):
            for i in range(inputs):
                found[b, o] += correlate2d(maps[b, i], weight[o, i], mode="same")
            if convolution.bias is not None:
                found[b, o] += convolution.bias[o].item()
    return found


def batch_normed(maps: np.ndarray) -> np.ndarray:
    """By the batch's own statistics, with weight 1 and bias 0."""
    found = np.empty_like(maps)
    for c in range(maps.shape[1]):
        channel = maps[:, c]
        found[:, c] = (channel - channel.mean()) / math.sqrt(channel.var() + 1e-5)
    return found


def run(layers: nn.Sequential, maps: np.ndarray) -> np.ndarray:
    """A stack of freshly made layers in training mode."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            maps = convolved(layer, maps)
        elif isinstance(layer, nn.BatchNorm2d):
            maps = batch_normed(maps)
        elif isinstance(layer, nn.LeakyReLU):
            maps = np.where(maps > 0, maps, layer.negative_slope * maps)
        else:
            assert isinstance(layer, nn.ReLU)
            maps = np.maximum(maps, 0)
    return maps
