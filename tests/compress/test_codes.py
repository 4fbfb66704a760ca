import pytest
import torch

from distill.compress.codes import (
    packed,
    packed_masks,
    spread,
    squeezed,
    unpacked,
    unpacked_masks,
)


@pytest.mark.parametrize(("bits", "expected"), [(2, [0b00111001]), (4, [0xE1, 0x0F]), (8, None)])
def test_the_first_code_has_the_lowest_bits(bits, expected):
    codes = torch.tensor([1, -2, -1])
    stored = packed(codes, bits)
    assert stored.tolist() == (expected or [1, 254, 255])
    assert torch.equal(unpacked(stored, bits, 3), codes)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_masks_come_back_and_few_ones_take_few_bits(share):
    random = torch.Generator().manual_seed(0)
    masks = [torch.rand(n, generator=random) < share for n in (7, 4096, 900)]
    stored = packed_masks(masks)
    for mask, back in zip(masks, unpacked_masks(stored, [7, 4096, 900]), strict=True):
        assert torch.equal(mask, back)
    if share == 0.1:  # -p log2(p) - (1 - p) log2(1 - p) = 0.47 bits each, and a table of bytes
        assert stored.numel() * 8 < 0.47 * 5003 + 8 * 80


def test_more_bytes_than_there_may_be_are_refused():
    stored = squeezed(b"a" * 1000)
    assert spread(stored, 1000) == b"a" * 1000
    for most in (999, 10):
        with pytest.raises(ValueError, match=f"more than {most} bytes"):
            spread(stored, most)
    with pytest.raises(ValueError, match="while decompressing"):
        spread(torch.zeros(9, dtype=torch.uint8), 9)
