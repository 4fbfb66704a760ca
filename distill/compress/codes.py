"""Integers of few bits, and where tensors are not 0, as bytes."""

import zlib

import torch
from torch import Tensor


def packed(codes: Tensor, bits: int) -> Tensor:
    """Codes as bytes, uint8 (n,), the first in the lowest bits; zeros fill the last byte.

    Args:
        codes: Integers of any shape, each within the bits.
        bits: 1, 2, 4 or 8.
    """
    each = 8 // bits
    flat = codes.flatten().int() & (2**bits - 1)
    flat = torch.cat([flat, flat.new_zeros(-flat.numel() % each)]).reshape(-1, each)
    return (flat << (bits * torch.arange(each))).sum(dim=1).to(torch.uint8)


def unpacked(stored: Tensor, bits: int, count: int) -> Tensor:
    """The first signed integers (count,) of what :func:`packed` gave."""
    each, half = 8 // bits, 2 ** (bits - 1)
    codes = (stored.int()[:, None] >> (bits * torch.arange(each))) & (2**bits - 1)
    signed: Tensor = (codes.flatten()[:count] + half) % (2 * half) - half
    return signed


def squeezed(data: bytes) -> Tensor:
    """Bytes in a Huffman code, uint8 (n,); that of a mask with few ones is as short as can be."""
    coder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return torch.frombuffer(bytearray(coder.compress(data) + coder.flush()), dtype=torch.uint8)


def spread(stored: Tensor, most: int) -> bytes:
    """The bytes that :func:`squeezed`, or zlib in another way, was given.

    Args:
        stored: What it gave.
        most: Bytes that there may be.

    Raises:
        ValueError: If it did not give this, or there are more.
    """
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(stored.numpy().tobytes(), most + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(data) > most or not decoder.eof:
        raise ValueError(f"there are more than {most} bytes")
    return data


def packed_masks(masks: list[Tensor]) -> Tensor:
    """Where each tensor is not 0, a bit for each element, squeezed (n,)."""
    flat = torch.cat([mask.flatten() for mask in masks])
    return squeezed(packed(flat, 1).numpy().tobytes())


def unpacked_masks(stored: Tensor, sizes: list[int]) -> list[Tensor]:
    """The masks, bool (size,) each.

    Raises:
        ValueError: If they are not of these sizes.
    """
    data = spread(stored, -(-sum(sizes) // 8))
    bits = (torch.frombuffer(bytearray(data), dtype=torch.uint8).int()[:, None]) >> torch.arange(8)
    return list(torch.split((bits & 1).flatten()[: sum(sizes)].bool(), sizes))
