"""Bodies give maps of the strides that they say."""

import pytest
import torch

from students.bodies import TopDown, make_body


@pytest.mark.parametrize("backbone", ["resnet8", "resnet32x4", "timm/lcnet_035"])
def test_maps_have_the_channels_and_strides_that_are_said(backbone: str) -> None:
    body = make_body(backbone, in_channels=3)
    maps = body(torch.rand(1, 3, 64, 64))
    assert [each.shape[1] for each in maps] == list(body.channels)
    assert [64 // each.shape[-1] for each in maps] == list(body.strides)


def test_sums_go_from_coarse_to_fine() -> None:
    sums = TopDown([1, 1], channels=1)
    with torch.no_grad():
        for lateral in sums.laterals:
            lateral.weight.fill_(1)
            lateral.bias.zero_()
    fine, coarse = sums([torch.full((1, 1, 4, 4), 2.0), torch.full((1, 1, 2, 2), 3.0)])
    assert fine.unique().tolist() == [5]
    assert coarse.unique().tolist() == [3]
