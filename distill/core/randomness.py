"""Keyed randomness: a choice is a pure function of (seed, epoch, sample) or (seed, step).

Nothing here has a state that could be saved, lost or advanced twice. Integer hashing gives the
same draws on every device, for any batch size, worker count and starting point, and that is what
makes exact resume and reusable teacher outputs possible.

The mixing function is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
"""

import zlib

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def fold(*parts: int | str) -> int:
    """One 63-bit key from any number of integers and stream names.

    Args:
        parts: For instance a seed, the name of what is drawn, and an epoch. Order matters.

    Example:
        >>> fold(0, "crop", 3) == fold(0, "crop", 3)
        True
        >>> fold(0, "crop", 3) == fold(0, "flip", 3)
        False
    """
    state = 0
    for part in parts:
        number = zlib.crc32(part.encode()) if isinstance(part, str) else part
        state = _mix(state ^ _mix(number & _MASK))
    return state >> 1


def uniform(key: int, samples: Tensor, draws: int = 1) -> Tensor:
    """Uniform numbers in [0, 1), each a function of the key, the sample and the draw alone.

    Args:
        key: From :func:`fold`.
        samples: Sample numbers (b,), int64, on any device.
        draws: Numbers per sample.

    Returns:
        Tensor (b, draws), float32, on the device of ``samples``.

    Example:
        >>> both = uniform(7, torch.tensor([4, 9]), draws=2)
        >>> torch.equal(both[1:], uniform(7, torch.tensor([9]), draws=2))
        True
    """
    return _logical_shift(_hash(key, samples, draws), 40).float() * 2.0**-24


def permutation(key: int, n: int) -> Tensor:
    """A random order of 0 .. n-1 (n,), int64.

    Example:
        >>> sorted(permutation(7, 5).tolist())
        [0, 1, 2, 3, 4]
    """
    return torch.argsort(bits(key, n), stable=True)


def bits(key: int, n: int, device: torch.device | str = "cpu") -> Tensor:
    """Random 64-bit integers (n,), int64, of either sign.

    Example:
        >>> len(set(bits(7, 100).tolist()))
        100
    """
    return _hash(key, torch.arange(n, device=device), 1).squeeze(1)


def reseed(*parts: int | str) -> None:
    """Set torch's global generators from a key, for dropout and other draws inside networks."""
    torch.manual_seed(fold(*parts))


def _mix(state: int) -> int:
    state = (state + _GOLDEN) & _MASK
    state = ((state ^ (state >> 30)) * _FIRST) & _MASK
    state = ((state ^ (state >> 27)) * _SECOND) & _MASK
    return state ^ (state >> 31)


def _hash(key: int, samples: Tensor, draws: int) -> Tensor:
    steps = torch.arange(1, draws + 1, device=samples.device) * _signed(_GOLDEN)
    rows = _mix_tensor(_mix_tensor(samples) ^ _signed(key))
    return _mix_tensor(rows.unsqueeze(1) + steps)


def _mix_tensor(state: Tensor) -> Tensor:
    state = state + _signed(_GOLDEN)
    state = (state ^ _logical_shift(state, 30)) * _signed(_FIRST)
    state = (state ^ _logical_shift(state, 27)) * _signed(_SECOND)
    return state ^ _logical_shift(state, 31)


def _logical_shift(value: Tensor, bits: int) -> Tensor:
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
