import math

import numpy as np
import pytest
import torch

from distill.cache import CacheSettings, Encoding


def logits(b: int = 4, k: int = 9) -> torch.Tensor:
    return torch.randn(b, k, generator=torch.Generator().manual_seed(0)) * 3


@pytest.mark.parametrize("shape", [(3,), (3, 10), (3, 2, 4, 4), (1, 5, 7)])
def test_float32_is_kept_bitwise(shape: tuple[int, ...]) -> None:
    value = torch.randn(shape)
    kept = Encoding(CacheSettings()).round_trip("teacher@layer", value)
    assert kept.dtype == torch.float32
    assert torch.equal(kept, value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_round_as_torch_does(dtype: torch.dtype) -> None:
    name = "float16" if dtype == torch.float16 else "bfloat16"
    encoding = Encoding(CacheSettings(dtype=name))
    value = logits()
    records, shape = encoding.encode("teacher.logits", value)
    assert [len(record) for record in records] == [18] * 4
    assert torch.equal(encoding.decode("teacher.logits", records, shape), value.to(dtype).float())


def test_half_precision_outputs_are_kept_exactly_in_float32() -> None:
    value = logits().bfloat16()
    kept = Encoding(CacheSettings()).round_trip("teacher.logits", value)
    assert torch.equal(kept, value.float())


def test_top_k_keeps_the_largest_and_spreads_the_rest_evenly() -> None:
    value = logits().double().numpy()
    kept = Encoding(CacheSettings(top_k=3)).round_trip("teacher.logits", logits()).double().numpy()
    for row, got in zip(value, kept, strict=True):
        largest = np.argsort(row)[::-1][:3]
        others = np.setdiff1d(np.arange(9), largest)
        assert got[largest] == pytest.approx(row[largest], abs=0)
        evenly = math.log(np.exp(row[others]).sum() / 6)
        assert got[others] == pytest.approx([evenly] * 6, rel=1e-6)
        # So the softmax of the kept ones is what it was.
        p, q = np.exp(row) / np.exp(row).sum(), np.exp(got) / np.exp(got).sum()
        assert q[largest] == pytest.approx(p[largest], rel=1e-6)


def test_top_k_leaves_other_tensors_alone() -> None:
    value = torch.randn(2, 5)
    assert torch.equal(Encoding(CacheSettings(top_k=1)).round_trip("teacher@fc", value), value)


def test_top_k_of_a_thousand_classes_takes_a_fraction_of_the_bytes() -> None:
    encoding = Encoding(CacheSettings(dtype="float16", top_k=10))
    records, shape = encoding.encode("teacher.logits", logits(2, 1000))
    assert len(records[0]) == 11 * 2 + 10 * 4
    assert encoding.decode("teacher.logits", records, shape).shape == (2, 1000)


def test_pooling_keeps_the_mean_over_places() -> None:
    maps = torch.randn(2, 3, 4, 5)
    kept = Encoding(CacheSettings(pool=True)).round_trip("teacher@layer", maps)
    assert torch.equal(kept, maps.mean((2, 3)))
    assert Encoding(CacheSettings(pool=True)).round_trip("teacher@fc", maps[:, :, 0, 0]).ndim == 2


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        CacheSettings(top_k=0)
    with pytest.raises(ValueError, match="cache must be auto or the path of a file, got nothing"):
        CacheSettings("")
    with pytest.raises(ValueError, match="top_k must be below the 9 classes, got 9"):
        Encoding(CacheSettings(top_k=9)).encode("teacher.logits", logits())
