"""A perceptual hash, which re-encoding and brightness hardly change.

The image is a sum of waves (its discrete cosine transform); each of the 63 slowest has two bits:
its amplitude is clearly positive, or clearly negative. Weak waves have neither, so noise in flat
regions flips no bits.
"""

import math

import torch
from torch import Tensor

WAVES = 8
BITS = 2 * (WAVES**2 - 1)
_LEAST = 2.0  # gray levels: what JPEG at quality 75 may add to a wave
_SHARE = 0.5  # of the root mean square of the image's own waves
_GRAY_WEIGHTS = (0.299, 0.587, 0.114)


def perceptual_hash(images: Tensor) -> Tensor:
    """Compute 126 bits per image, of its 8 x 8 slowest waves without the mean.

    Added brightness does not change them where no pixel is clipped. An image without structure, all
    waves below two gray levels, has no bits set and is like any other such image.

    Args:
        images: (b, c, h, w), uint8, c is 1 or 3; colors are converted to gray.

    Returns:
        (b, 126), bool.

    Raises:
        ValueError: If the images are of another type or shape.

    Example:
        >>> image = torch.arange(200, dtype=torch.uint8).reshape(1, 1, 10, 20)
        >>> int((perceptual_hash(image) ^ perceptual_hash(image + 50)).sum())
        0
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        found = f"got {tuple(images.shape)} {images.dtype}"
        raise ValueError(f"images need shape (b, 1 or 3, h, w) and type uint8, {found}")
    share = torch.tensor(_GRAY_WEIGHTS if images.shape[1] == 3 else (1.0,), dtype=torch.float64)
    gray = torch.einsum("bchw,c->bhw", images.double(), share.to(images.device))
    down, across = (_waves(side).to(images.device) for side in gray.shape[1:])
    amplitude = torch.einsum("uh,bhw,vw->buv", down, gray, across).flatten(1)[:, 1:]
    own = amplitude.square().mean(1, keepdim=True).sqrt()
    clear = (_SHARE * own).clamp(min=_LEAST)
    return torch.cat([amplitude > clear, amplitude < -clear], dim=1)


def mirrored(bits: Tensor) -> Tensor:
    """Compute the hashes (b, 126) of the mirror images: waves odd in x change sign."""
    wave = torch.arange(1, WAVES**2, device=bits.device).repeat(2)
    place = torch.arange(BITS, device=bits.device)
    return bits[:, torch.where(wave % 2 == 1, (place + BITS // 2) % BITS, place)]


def nearest(bits: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest of others for each hash, the first of several that are as near.

    Args:
        bits: Hashes (n, d), bool.
        others: Hashes (m, d), bool, m at least 1.

    Returns:
        The numbers of bits that differ (n,) and the rows of the others (n,), both int64.
    """
    n, d = others.shape
    signs = others.float().mul(2).sub(1).T
    row = torch.arange(n, device=bits.device)
    best = []
    for part in torch.split(bits, 512):
        # The product of two rows of signs counts bits that agree less those that differ.
        differ = ((d - part.float().mul(2).sub(1) @ signs) / 2).long()
        best.append((differ * n + row).min(1).values)
    found = torch.cat(best)
    return found // n, found % n


def _waves(side: int) -> Tensor:
    """Make rows (8, side) whose products with a line of pixels are the amplitudes of its waves."""
    place = torch.arange(side, dtype=torch.float64) + 0.5
    wave = torch.arange(WAVES, dtype=torch.float64)[:, None]
    rows = torch.cos(math.pi / side * wave * place) * (2 / side)
    rows[0] /= 2
    return rows
